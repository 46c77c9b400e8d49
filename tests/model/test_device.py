"""Where to compute, and in which precision."""

from __future__ import annotations

import pytest
import torch

from showtell.errors import WrongUse
from showtell.model import device
from showtell.model.device import has_fast_bf16, resolve_device


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"), [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_auto_takes_the_best_there_is(monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, chosen: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert resolve_device("auto") == torch.device(chosen)
    assert resolve_device("cpu") == torch.device("cpu")


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for name in ("cuda", "cuda:1", "mps", "tpu", "cpu:x"):
        with pytest.raises(WrongUse, match=f"device {name} is not on this machine: use one of cpu, or auto"):
            resolve_device(name)


@pytest.mark.parametrize(
    ("instructions", "seconds", "fast"),
    [
        ({}, {torch.bfloat16: 1, torch.float32: 9}, False),  # without the instructions it is not even tried
        ({"avx512_bf16": True}, {torch.bfloat16: 4, torch.float32: 9}, True),
        ({"amx_bf16": True}, {torch.bfloat16: 9, torch.float32: 9}, False),  # a virtual machine that reports them in vain
    ],
)
def test_a_processor_is_measured(
    monkeypatch: pytest.MonkeyPatch, instructions: dict[str, bool], seconds: dict[torch.dtype, float], fast: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions)
    monkeypatch.setattr(device, "_product_seconds", seconds.__getitem__)
    assert has_fast_bf16(torch.device("cpu")) is fast


def test_mps_stays_in_float32() -> None:
    assert not has_fast_bf16(torch.device("mps"))
