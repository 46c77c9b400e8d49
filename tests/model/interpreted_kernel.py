"""The kernels give attention's numbers and gradients. Run by test_attention_kernel.py in a process of its own, where Triton
interprets them on the CPU: TRITON_INTERPRET=1 has to be set before anything imports Triton."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from showtell.model import attention, attention_kernel
from showtell.model.attention import kernel_weights, plain_weights
from showtell.model.attention_kernel import FusedWeights
from showtell.model.decoder import Decoder
from showtell.model.options import DecoderOptions

Inputs = tuple[Tensor, Tensor, Tensor]


def formula(query: Tensor, keys: Tensor, v: Tensor) -> Tensor:
    """Bahdanau et al. 2015, equation 6, as one writes it down; autograd finds the gradients."""
    return (torch.tanh(keys.unsqueeze(1) + query.unsqueeze(2)) @ v).softmax(dim=-1)


def make(sizes: tuple[int, int, int, int], scale: float, seed: int, precision: torch.dtype) -> tuple[Inputs, Tensor]:
    """Query, keys and v, and the gradient of the weights. The query is a piece of a larger tensor, as in the decoder."""
    pictures, rows, cells, width = sizes
    random = torch.Generator().manual_seed(seed)
    shapes = (pictures, rows, width + 3), (pictures, cells, width), (width,), (pictures, rows, cells)
    product, keys, v, d_weights = (torch.randn(shape, generator=random) for shape in shapes)
    query = (scale * product).to(precision)[:, :, 2:-1]
    return (query, (scale * keys).to(precision), v), d_weights


def outcome(way: Callable[..., Tensor], inputs: Inputs, d_weights: Tensor, precision: torch.dtype | None = None) -> list[Tensor]:
    """The weights, and the gradients of query, keys and v."""
    leaves = [tensor.detach().to(precision or tensor.dtype).requires_grad_() for tensor in inputs]
    weights = way(*leaves)
    return [weights, *torch.autograd.grad(weights, leaves, d_weights.to(weights.dtype))]


sizes = st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 40), st.integers(1, 12))


@pytest.mark.filterwarnings("ignore:.*overflow encountered in exp")  # to infinity, where tanh is -1: a GPU does so without a word
@settings(max_examples=20)
@given(sizes, st.sampled_from([0.1, 1.0, 60.0]), st.integers(0, 99), st.sampled_from([64, attention_kernel.TILE]))
@example((2, 5, 196, 70), 1.0, 0, attention_kernel.TILE)  # real sizes: 14 x 14 cells in a tile of 256, several pieces of A
@example((2, 5, 49, 130), 1.0, 0, attention_kernel.TILE)
def test_weights_and_gradients_are_the_formulas(sizes: tuple[int, int, int, int], scale: float, seed: int, tile: int) -> None:
    inputs, d_weights = make(sizes, scale, seed, torch.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention_kernel, "TILE", tile)
        got = outcome(FusedWeights.apply, inputs, d_weights)
    plain, exact = outcome(plain_weights, inputs, d_weights), outcome(formula, inputs, d_weights, torch.float64)
    for one, other, right in zip(got, plain, exact, strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        torch.testing.assert_close(one.double(), right, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@settings(max_examples=10)
@given(sizes, st.sampled_from([torch.bfloat16, torch.float16]), st.integers(0, 99))
def test_half_precision_rounds_what_goes_in_and_out_and_nothing_else(
    sizes: tuple[int, int, int, int], precision: torch.dtype, seed: int
) -> None:
    inputs, d_weights = make(sizes, 1.0, seed, precision)  # v stays in float32, as a weight under autocast does
    got, exact = outcome(FusedWeights.apply, inputs, d_weights), outcome(formula, inputs, d_weights, torch.float64)
    assert [tensor.dtype for tensor in got] == [torch.float32, precision, precision, torch.float32]
    for tensor, right in zip(got, exact, strict=True):
        step = 1e-5 if tensor.dtype == torch.float32 else torch.finfo(precision).eps
        torch.testing.assert_close(tensor.double(), right, atol=1e-5, rtol=step)


def test_the_same_inputs_give_the_same_bits() -> None:
    inputs, d_weights = make((3, 5, 50, 40), 1.0, 0, torch.float32)
    once, again = (outcome(FusedWeights.apply, inputs, d_weights) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(once, again, strict=True))


def test_no_pictures_are_no_trouble() -> None:
    inputs, d_weights = make((0, 5, 4, 3), 1.0, 0, torch.float32)
    assert [len(tensor) for tensor in outcome(FusedWeights.apply, inputs, d_weights)] == [0, 0, 0, 3]


# ------------------------------------------------------------------------------------------ in the decoder, and on trust


@pytest.fixture
def kernel_here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if a CPU were a GPU."""
    kernel_weights.cache_clear()
    monkeypatch.setattr(attention, "KERNEL_ON", "cpu")
    yield
    kernel_weights.cache_clear()


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("cells", [1, 49])
def test_the_kernel_is_trusted(kernel_here: None, precision: torch.dtype, cells: int) -> None:
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):  # wherever it is asked for first
        before = torch.get_rng_state()
        assert kernel_weights(torch.device("cpu"), precision, cells, 20) is not None
        assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("bf16", [False, True])
def test_the_decoder_learns_the_same(monkeypatch: pytest.MonkeyPatch, kernel_here: None, bf16: bool) -> None:
    """Captions of several lengths share their picture's grid; the decoder runs through the interface that it always has."""
    torch.manual_seed(0)
    decoder = Decoder(DecoderOptions(5, 7, 4, dropout=0.0, word_query=True), 11, 6)
    captions = torch.tensor([[[1, 5, 6, 2], [1, 7, 2, 0]], [[1, 8, 2, 0], [1, 2, 0, 0]], [[1, 4, 2, 0], [0, 0, 0, 0]]])
    grid, found, calls = torch.randn(3, 9, 6), [], []
    real = FusedWeights.apply
    monkeypatch.setattr(FusedWeights, "apply", lambda *given: (calls.append(given[0].shape), real(*given))[1])
    for kind in ("cpu", "cuda"):  # that has the kernel
        monkeypatch.setattr(attention, "KERNEL_ON", kind)
        decoder.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            outputs = decoder(grid, captions)
        sum(output.float().square().mean() for output in outputs).backward()  # type: ignore[union-attr]
        found.append([*outputs, *(parameter.grad for parameter in decoder.parameters())])
    assert calls == [(2, 3, 4), *3 * [(3, 2, 4)], (3, 1, 4)]  # once on trial, then at every word: pictures, captions, A
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=2e-2 if bf16 else 1e-5, rtol=2e-2 if bf16 else 1e-5)
