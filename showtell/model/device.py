"""Where to compute, and in which precision."""

from __future__ import annotations

import time

import torch

from showtell.errors import WrongUse


def resolve_device(device: str) -> torch.device:
    """`auto` takes cuda, then mps, then cpu; a device that is not there is refused. Numbers as in `cuda:1` choose one of several.

    Raises:
        WrongUse: the device named is not on this machine.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return torch.device(next(name for name, is_there in there.items() if is_there))
    try:
        if there.get(device.split(":")[0], False):
            return torch.device(device)
    except RuntimeError:  # a number that is none
        pass
    raise WrongUse(f"device {device} is not on this machine: use one of {', '.join(k for k, v in there.items() if v)}, or auto.")


def has_fast_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bf16 faster than float32.

    A CPU is measured, a few milliseconds long: without AVX512-BF16 or AMX it is hundreds of times slower in bf16, and some
    that report the instructions (virtual machines among them) are slower in it all the same.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    features = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    if not (features.get("avx512_bf16") or features.get("amx_bf16")):
        return False
    return _product_seconds(torch.bfloat16) < 0.8 * _product_seconds(torch.float32)


def _product_seconds(dtype: torch.dtype) -> float:
    """The quickest of some matrix products of the size of a decoder's step."""
    a, b = torch.ones(160, 512, dtype=dtype), torch.ones(512, 2048, dtype=dtype)
    seconds = []
    for _ in range(6):
        start = time.perf_counter()
        torch.mm(a, b)
        seconds.append(time.perf_counter() - start)
    return min(seconds)
