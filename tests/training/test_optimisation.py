"""Optimiser, learning rate and early stopping, in numbers that can be checked by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from showtell.model.decoder import Decoder
from showtell.model.encoder import Encoder
from showtell.model.options import DecoderOptions, EncoderOptions
from showtell.training.optimisation import EarlyStopping, Schedule, build_optimizer
from showtell.training.options import TrainingOptions

OPTIONS = TrainingOptions(learning_rate=0.1, encoder_learning_rate=0.01, weight_decay=0.5)


# ---------------------------------------------------------------------------------------------------------- the optimiser


@pytest.fixture
def parts() -> tuple[Encoder, Decoder]:
    encoder = Encoder(EncoderOptions("tiny", "none", unfrozen_groups=1), 16)
    return encoder, Decoder(DecoderOptions(4, 4, 4), 9, encoder.channels)


def test_encoder_and_decoder_have_their_own_rates(parts: tuple[Encoder, Decoder]) -> None:
    optimizer = build_optimizer(*parts, OPTIONS)
    for part, module, rate in (("encoder", parts[0], 0.01), ("decoder", parts[1], 0.1)):
        groups = [group for group in optimizer.param_groups if group["part"] == part]
        assert {(group["lr"], group["base_rate"]) for group in groups} == {(rate, rate)}
        held = [parameter for group in groups for parameter in group["params"]]
        wanted = [parameter for parameter in module.parameters() if parameter.requires_grad]
        assert len(held) == len(wanted) and {id(p) for p in held} == {id(p) for p in wanted}


def test_matrices_decay_and_nothing_else(parts: tuple[Encoder, Decoder]) -> None:
    decoder = parts[1]
    optimizer = build_optimizer(*parts, OPTIONS)
    decays = {id(p) for group in optimizer.param_groups for p in group["params"] if group["weight_decay"]}
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.5, 0.0}
    for name, parameter in decoder.named_parameters():
        assert (id(parameter) in decays) == (parameter.ndim == 2 and name != "embedding.weight"), name
    assert all(parameter.ndim == 4 for parameter in parts[0].parameters() if id(parameter) in decays)


def test_a_frozen_encoder_has_no_groups(parts: tuple[Encoder, Decoder]) -> None:
    parts[0].freeze()
    for encoder in (parts[0], None):
        assert {group["part"] for group in build_optimizer(encoder, parts[1], OPTIONS).param_groups} == {"decoder"}


def test_the_optimiser_is_the_one_named(parts: tuple[Encoder, Decoder]) -> None:
    assert type(build_optimizer(*parts, OPTIONS)) is torch.optim.Adam
    assert type(build_optimizer(*parts, replace(OPTIONS, optimizer="adamw"))) is torch.optim.AdamW


# ------------------------------------------------------------------------------------------------------- the learning rate


def shares(schedule: Schedule, steps: int) -> list[float]:
    return [round(schedule.share(step), 4) for step in range(steps)]


def test_constant() -> None:
    assert shares(Schedule("constant", 0, 100), 3) == [1, 1, 1]


def test_warm_up_rises_in_a_line() -> None:
    for kind in ("constant", "plateau"):
        assert shares(Schedule(kind, 4, 100), 6) == [0.25, 0.5, 0.75, 1, 1, 1]


def test_cosine_falls_from_the_whole_to_nothing() -> None:
    schedule = Schedule("cosine", 2, 10)
    assert shares(schedule, 3) == [0.5, 1, 1]
    assert schedule.share(6) == pytest.approx(0.5)  # half-way between 2 and 10
    assert schedule.share(4) == pytest.approx((1 + math.sqrt(0.5)) / 2)
    assert schedule.share(10) == schedule.share(11) == 0
    assert Schedule("cosine", 10, 10).share(10) == pytest.approx(1)  # all warm-up: nothing to fall over


def test_plateau_takes_a_fifth_after_two_epochs_without_a_better_score() -> None:
    schedule, seen = Schedule("plateau", 0, 100), []
    for better in (True, False, False, True, False, False, False, False):
        schedule.epoch_ended(better)
        seen.append(round(schedule.share(0), 4))
    assert seen == [1, 1, 0.2, 0.2, 0.2, 0.04, 0.04, 0.008]


@pytest.mark.parametrize("kind", ["constant", "cosine"])
def test_the_others_do_not_look_at_scores(kind: str) -> None:
    schedule = Schedule(kind, 0, 100)
    for _ in range(10):
        schedule.epoch_ended(False)
    assert schedule.share(0) == 1


def test_a_schedule_goes_on_where_it_stood() -> None:
    schedule, again = Schedule("plateau", 0, 100), Schedule("plateau", 0, 100)
    for better in (False, False, False):
        schedule.epoch_ended(better)
    again.load_state_dict(schedule.state_dict())
    for each in (schedule, again):
        each.epoch_ended(False)
    assert again == schedule and schedule.factor == pytest.approx(0.04)


def test_rates_of_all_groups_move_together(parts: tuple[Encoder, Decoder]) -> None:
    optimizer = build_optimizer(*parts, OPTIONS)
    Schedule("constant", 4, 100).set_rates(optimizer, 1)
    assert {(group["part"], group["lr"]) for group in optimizer.param_groups} == {("encoder", 0.005), ("decoder", 0.05)}
    Schedule("constant", 4, 100).set_rates(optimizer, 50)  # from the base rate, not from the last one
    assert {(group["part"], group["lr"]) for group in optimizer.param_groups} == {("encoder", 0.01), ("decoder", 0.1)}


# ------------------------------------------------------------------------------------------------------- early stopping


def observe(stopping: EarlyStopping, *scores: float) -> list[tuple[bool, bool]]:
    """For each score, whether it is the best so far, and whether to stop."""
    return [(stopping.observe(score), stopping.should_stop) for score in scores]


def test_it_stops_after_some_epochs_without_progress() -> None:
    seen = observe(EarlyStopping(patience=2, min_delta=0.1), 3.0, 2.0, 2.5, 1.5, 1.6, 1.7)
    assert seen == [(True, False), (True, False), (False, False), (True, False), (False, False), (False, True)]


def test_less_than_min_delta_is_better_but_no_progress() -> None:
    stopping = EarlyStopping(patience=2, min_delta=0.1)
    assert observe(stopping, 3.0, 2.95, 2.91) == [(True, False), (True, False), (True, True)]
    assert (stopping.best, stopping.reference) == (2.91, 3.0)


def test_small_steps_add_up_to_progress() -> None:
    """Each score is compared with the last progress, not with the score before it."""
    assert not any(stop for _, stop in observe(EarlyStopping(patience=3, min_delta=0.1), 3.0, 2.95, 2.89, 2.84, 2.78))


def test_an_equal_score_is_not_better() -> None:
    assert observe(EarlyStopping(patience=1, min_delta=0.0), 2.0, 2.0) == [(True, False), (False, True)]


def test_stopping_goes_on_where_it_stood() -> None:
    stopping, again = EarlyStopping(2, 0.1), EarlyStopping(2, 0.1)
    observe(stopping, 3.0, 3.5)
    again.load_state_dict(stopping.state_dict())
    assert again == stopping
    assert observe(again, 3.2) == [(False, True)]
