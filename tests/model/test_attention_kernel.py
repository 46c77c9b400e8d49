"""Attention's kernel for GPUs: its numbers (in Triton's interpreter), that it compiles, and when it is taken; without a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from showtell.model import attention
from showtell.model.attention import AdditiveAttention, kernel_weights, plain_weights

Offer = Callable[[Callable[..., Tensor]], "Kernel"]

WHERE_TRITON_IS = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not here: it comes with torch's CUDA builds")


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Another Python, for Triton has to be told how to run before anything imports it."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env={**os.environ, **environment})


@WHERE_TRITON_IS
def test_the_kernels_are_right_where_triton_interprets_them() -> None:
    tests = Path(__file__).with_name("interpreted_kernel.py")
    done = python("-m", "pytest", "-p", "no:cacheprovider", str(tests), TRITON_INTERPRET="1")
    assert done.returncode == 0, done.stdout


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from showtell.model.attention_kernel import WARPS, gradients_kernel, tile, weights_kernel

for kernel in (weights_kernel, gradients_kernel):
    for cells, precision in ((196, "*bf16"), (49, "*fp32"), (1200, "*fp16")):
        constants = {"a_stride": 1, **tile(cells, 512)}
        numbers = dict.fromkeys(("row_stride", "rows", "cells", "width"), "i32") | dict.fromkeys(constants, "constexpr")
        inputs = dict.fromkeys(("query", "keys", "d_query", "d_keys"), precision)
        signature = {name: (numbers | inputs).get(name, "*fp32") for name in kernel.arg_names}
        for capability in (80, 90):
            source = ASTSource(kernel, signature, constants)
            compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": WARPS})
            assert compiled.metadata.shared <= 48 * 1024  # bytes that every GPU's programs may share
            print(len(compiled.asm["cubin"]))
"""


@WHERE_TRITON_IS
def test_the_kernels_compile_to_a_gpus_code(tmp_path: Path) -> None:
    """Down to the machine code of two generations, at the sizes of captioning: that takes no GPU."""
    done = python("-c", COMPILE, TRITON_CACHE_DIR=str(tmp_path), TRITON_INTERPRET="0")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 12 and all(int(size) > 1000 for size in done.stdout.split())


def test_a_cpu_never_imports_triton() -> None:
    code = """
import sys, torch
from showtell.model.attention import AdditiveAttention
module, grid = AdditiveAttention(6, 5), torch.randn(2, 4, 6)
module(torch.randn(2, 3, 5), module.keys(grid), grid)[0].sum().backward()
print([name for name in sys.modules if name == "triton" or name.endswith("attention_kernel")])
"""
    done = python("-c", code)
    assert done.stdout.strip() == "[]", done.stderr


# --------------------------------------------------------------------------------- whether it is taken: stand-ins on the CPU


class Kernel:
    """Stands in for `attention_kernel`: what `FusedWeights.apply` does, and how often it was called."""

    def __init__(self, apply: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        self.do, self.calls = apply, 0

    def apply(self, query: Tensor, keys: Tensor, v: Tensor) -> Tensor:
        self.calls += 1
        return self.do(query, keys, v)


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Offer]:
    """Puts a stand-in in the kernel's place, as if the CPU were a GPU with Triton."""

    def put(apply: Callable[..., Tensor]) -> Kernel:
        module, kernel = ModuleType("attention_kernel"), Kernel(apply)
        module.FusedWeights = kernel  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "showtell.model.attention_kernel", module)
        return kernel

    monkeypatch.setattr(attention, "KERNEL_ON", "cpu")
    monkeypatch.setattr(attention, "find_spec", lambda name: name)
    kernel_weights.cache_clear()
    yield put
    kernel_weights.cache_clear()


def look(precision: torch.dtype = torch.float32) -> list[Tensor]:
    """Context, weights, and the gradients of one look."""
    torch.manual_seed(0)
    module, grid = AdditiveAttention(6, 5).to(precision), torch.randn(2, 4, 6, dtype=precision)
    query = torch.randn(2, 3, 5, dtype=precision).requires_grad_()
    context, weights = module(query, module.keys(grid), grid)
    (context * torch.arange(6)).sum().backward()
    return [context, weights, query.grad, *(parameter.grad for parameter in module.parameters())]  # type: ignore[list-item]


def bent(tensor: Tensor, by: float) -> Tensor:
    """The same values, with gradients that are wrong by so much."""
    return tensor + by * (tensor - tensor.detach())


def breaks(query: Tensor, keys: Tensor, v: Tensor) -> Tensor:
    raise RuntimeError("Failed to find C compiler.\nPlease specify one.")


FAULTS: dict[str, tuple[Callable[..., Tensor], str]] = {
    "does not compile": (breaks, r"does not run \(Failed to find C compiler\)"),
    "wrong weights": (lambda q, k, v: 1.001 * plain_weights(q, k, v), "is wrong by 1.0e-03 of the largest value"),
    "not a number": (lambda q, k, v: plain_weights(q, k, v) / 0 * 0, "is wrong by nan"),
    "wrong gradient of the query": (lambda q, k, v: plain_weights(bent(q, 0.01), k, v), "is wrong by 1.0e-02"),
    "wrong gradient of the keys": (lambda q, k, v: plain_weights(q, bent(k, 0.01), v), "is wrong by 1.0e-02"),
    "wrong gradient of v": (lambda q, k, v: plain_weights(q, k, bent(v, 0.01)), "is wrong by 1.0e-02"),
}


def test_a_kernel_that_agrees_is_taken(offer: Offer) -> None:
    kernel = offer(plain_weights)
    look()
    assert kernel.calls == 2  # on trial, and in earnest
    look()
    assert kernel.calls == 3  # one trial is enough


@pytest.mark.parametrize("fault", FAULTS)
def test_a_kernel_that_fails_or_lies_is_left_alone(fault: str, offer: Offer, monkeypatch: pytest.MonkeyPatch) -> None:
    apply, sentence = FAULTS[fault]
    kernel = offer(apply)
    with pytest.warns(UserWarning, match=f"^Attention's kernel {sentence}.* on cpu in torch.float32, so .* taken.$") as warned:
        first = look()
    again = look()  # a second warning would fail the test
    assert kernel.calls == 1 and len(warned) == 1
    monkeypatch.setattr(attention, "KERNEL_ON", "cuda")
    for one, other, plain in zip(first, again, look(), strict=True):
        assert torch.equal(one, plain) and torch.equal(other, plain)


def test_without_triton_nothing_is_said(offer: Offer, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = offer(breaks)
    monkeypatch.setattr(attention, "find_spec", lambda name: None)
    look()
    assert kernel.calls == 0


def test_float64_stays_exact(offer: Offer) -> None:
    kernel = offer(breaks)
    look(torch.float64)
    assert kernel.calls == 0
