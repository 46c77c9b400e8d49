"""Additive attention: the formula, its gradients, and a distribution over cells for every row."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from showtell.model import attention
from showtell.model.attention import AdditiveAttention, AdditiveScore


def sizes(pictures: int, rows: int, cells: int, width: int, **kind: object) -> tuple[Tensor, Tensor, Tensor]:
    """Random query (N x R x A), keys (N x P x A) and v (A)."""
    random = torch.Generator().manual_seed(0)
    return tuple(  # type: ignore[return-value]
        torch.randn(*shape, generator=random, **kind)  # type: ignore[call-overload]
        for shape in ((pictures, rows, width), (pictures, cells, width), (width,))
    )


@pytest.fixture(params=["all at once", "a picture at a time"], autouse=True)
def chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor's cache may hold all activations, or those of one picture: the numbers must not depend on it."""
    if request.param == "a picture at a time":
        monkeypatch.setattr(attention, "CACHE", 1, raising=False)


def test_the_score_is_v_tanh_of_key_plus_query() -> None:
    query, keys, v = sizes(3, 2, 4, 5)
    scores = AdditiveScore.apply(query, keys, v)
    for n, r, p in [(0, 0, 0), (1, 1, 3), (2, 0, 2)]:
        torch.testing.assert_close(scores[n, r, p], v @ torch.tanh(keys[n, p] + query[n, r]))


def test_the_gradients_are_right() -> None:
    inputs = [tensor.requires_grad_() for tensor in sizes(3, 2, 4, 3, dtype=torch.float64)]
    assert torch.autograd.gradcheck(AdditiveScore.apply, inputs)


def test_the_inputs_are_left_as_they_were() -> None:
    inputs = [tensor.requires_grad_() for tensor in sizes(2, 2, 3, 4)]
    before = [tensor.detach().clone() for tensor in inputs]
    AdditiveScore.apply(*inputs).sum().backward()
    for tensor, was in zip(inputs, before, strict=True):
        assert torch.equal(tensor, was)


def test_weights_are_distributions_and_the_context_is_their_mean() -> None:
    torch.manual_seed(0)
    module, grid, query = AdditiveAttention(6, 5), torch.randn(3, 4, 6), 3 * torch.randn(3, 2, 5)
    context, weights = module(query, module.keys(grid), grid)
    assert context.shape == (3, 2, 6) and weights.shape == (3, 2, 4) and weights.dtype == torch.float32
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2))
    torch.testing.assert_close(context, torch.einsum("nrp,npc->nrc", weights, grid))


def test_rows_of_a_picture_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    module, grid, query = AdditiveAttention(6, 5), torch.randn(2, 4, 6), torch.randn(2, 3, 5)
    keys = module.keys(grid)
    together = module(query, keys, grid)
    for row in range(3):
        alone = module(query[:, row : row + 1], keys, grid)
        for many, one in zip(together, alone, strict=True):
            torch.testing.assert_close(many[:, row : row + 1], one)
