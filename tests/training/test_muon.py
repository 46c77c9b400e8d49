"""Muon: orthogonal steps for matrices, AdamW's for the rest."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from showtell.model.decoder import Decoder
from showtell.model.encoder import Encoder
from showtell.model.options import DecoderOptions, EncoderOptions
from showtell.training.muon import Muon, orthogonalised
from showtell.training.optimisation import build_optimizer
from showtell.training.options import TrainingOptions

OPTIONS = TrainingOptions(learning_rate=0.1, encoder_learning_rate=0.01, weight_decay=0.5, optimizer="muon")


@pytest.mark.parametrize("shape", [(6, 6), (4, 30), (30, 4), (1, 5)])
def test_singular_values_come_near_one_and_directions_stay(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    given = u.T @ orthogonalised(matrix * 100) @ vh.T  # diagonal where the singular vectors are the same
    assert given.diag().min() > 0.6 and given.diag().max() < 1.25, s
    assert (given - given.diag().diag()).abs().max() < 1e-4


@pytest.mark.parametrize("shape", [(5, 40), (40, 5), (7, 7)])
def test_it_is_newton_and_schulzs_iteration(shape: tuple[int, int]) -> None:
    """X <- a X + b (X X') X + c (X X')^2 X, also where nearly all of X lies in one direction.

    There float32 rounds others away, how much depends on the processor, and each step makes that 3.4 times as large.
    """
    random = torch.Generator().manual_seed(0)
    matrix = torch.ones(shape) + 1e-3 * torch.randn(shape, generator=random)
    x = matrix.double() / matrix.double().norm()
    for _ in range(5):
        x = 3.4445 * x - 4.7750 * x @ x.T @ x + 2.0315 * x @ x.T @ x @ x.T @ x
    assert torch.allclose(orthogonalised(matrix.double()), x, rtol=0, atol=1e-8)
    assert torch.allclose(orthogonalised(matrix), x.float(), rtol=0, atol=1e-3)


def test_a_matrix_moves_by_its_orthogonalised_momentum() -> None:
    weights = nn.Parameter(torch.eye(2))
    optimizer = Muon([{"params": [weights], "orthogonal": True}], lr=0.1, weight_decay=0.5)
    gradient = torch.tensor([[3.0, 0.0], [0.0, 0.001]])
    weights.grad = gradient.clone()
    optimizer.step()
    # Momentum 0.05 g; the direction is orthogonalised 0.05 g + 0.95 x 0.05 g, whose scale does not matter.
    wanted = torch.eye(2) * (1 - 0.1 * 0.5) - 0.1 * 0.2 * 2**0.5 * orthogonalised(gradient)
    assert torch.allclose(weights, wanted, atol=1e-6)
    assert weights.grad is None


def test_all_else_moves_as_by_adamw() -> None:
    ours, theirs = nn.Linear(3, 2), nn.Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())
    pairs = [
        (ours, Muon([{"params": list(ours.parameters()), "orthogonal": False}], lr=0.1, weight_decay=0.5)),
        (theirs, torch.optim.AdamW(theirs.parameters(), lr=0.1, weight_decay=0.5)),
    ]
    for _ in range(3):
        for module, optimizer in pairs:
            optimizer.zero_grad()
            module(torch.ones(1, 3)).square().sum().backward()
            optimizer.step()
    assert torch.equal(ours.weight, theirs.weight) and torch.equal(ours.bias, theirs.bias)


def test_features_are_orthogonal_and_words_are_not() -> None:
    encoder = Encoder(EncoderOptions("tiny", "none", unfrozen_groups=9), 16)
    decoder = Decoder(DecoderOptions(4, 4, 4), 9, encoder.channels)
    groups = build_optimizer(encoder, decoder, OPTIONS).param_groups
    orthogonal = {id(p) for group in groups if group["orthogonal"] for p in group["params"]}
    for name, parameter in [*encoder.named_parameters(), *decoder.named_parameters()]:
        wanted = parameter.ndim > 1 and "embedding" not in name and "vocabulary" not in name
        assert (id(parameter) in orthogonal) == wanted, name
    for optimizer in ("adam", "adamw"):
        assert not any(
            g["orthogonal"] for g in build_optimizer(encoder, decoder, replace(OPTIONS, optimizer=optimizer)).param_groups
        )


def test_it_goes_on_from_its_state_as_if_it_had_not_stopped() -> None:
    def optimizer_of(module: nn.Module) -> Muon:
        matrices = [p for p in module.parameters() if p.ndim > 1]
        rest = [p for p in module.parameters() if p.ndim < 2]
        return Muon([{"params": matrices, "orthogonal": True}, {"params": rest, "orthogonal": False}], lr=0.01)

    def steps(module: nn.Module, optimizer: Muon, count: int) -> None:
        for _ in range(count):
            module(torch.linspace(-1, 1, 48).view(1, 3, 4, 4)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()

    whole = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2))
    stopped = copy.deepcopy(whole)
    first, second = optimizer_of(whole), optimizer_of(stopped)
    steps(whole, first, 6)
    steps(stopped, second, 3)
    resumed = copy.deepcopy(stopped)
    third = optimizer_of(resumed)
    third.load_state_dict(copy.deepcopy(second.state_dict()))
    steps(resumed, third, 3)
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
