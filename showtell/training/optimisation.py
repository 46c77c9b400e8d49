"""How the weights move: optimiser, learning rate over time, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from showtell.model.encoder import Encoder
from showtell.training.muon import Muon
from showtell.training.options import TrainingOptions


def build_optimizer(encoder: nn.Module | None, decoder: nn.Module, options: TrainingOptions) -> torch.optim.Optimizer:
    """The optimiser over the weights that train, in groups by part (encoder, decoder) and kind.

    Matrices decay; biases, norms and word vectors do not. With Muon, matrices that lead from features to features are its own,
    and AdamW moves the rest: word vectors, and the scores of words. Each group carries its undisturbed rate as `base_rate`.
    """
    groups: list[dict[str, Any]] = []
    for part, module, rate in _parts(encoder, decoder, options):
        parameters = [(_kind(name, p), p) for name, p in module.named_parameters() if p.requires_grad] if module else []
        for kind in ("matrix", "words", "plain"):
            if chosen := [p for its_kind, p in parameters if its_kind == kind]:
                groups.append({
                    "params": chosen, "part": part, "lr": rate, "base_rate": rate,
                    "weight_decay": 0.0 if kind == "plain" else options.weight_decay,
                    "orthogonal": kind == "matrix" and options.optimizer == "muon",
                })  # fmt: skip
    optimizers: dict[str, Any] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "muon": Muon}
    optimizer: torch.optim.Optimizer = optimizers[options.optimizer](groups, fused=True)  # one pass over the weights
    return optimizer


def _kind(name: str, parameter: nn.Parameter) -> str:
    """plain: does not decay; words: the matrix that scores words; matrix: one that leads from features to features."""
    if parameter.ndim < 2 or "embedding" in name:
        return "plain"
    return "words" if "vocabulary" in name else "matrix"


def _parts(
    encoder: nn.Module | None, decoder: nn.Module, options: TrainingOptions
) -> Iterator[tuple[str, nn.Module | None, float]]:
    """Part, weights and rate; with layer-wise decay (Howard and Ruder 2018), one for each layer group of the encoder."""
    if isinstance(encoder, Encoder) and options.layer_decay != 1:
        for distance, group in enumerate(reversed(encoder.layer_groups().values())):
            yield "encoder", group, options.encoder_learning_rate * options.layer_decay**distance
    else:
        yield "encoder", encoder, options.encoder_learning_rate
    yield "decoder", decoder, options.learning_rate


def moving_average(decay: float) -> Callable[[Any, Any, Tensor | int], None]:
    """How `AveragedModel` moves its averages: after n steps by the smaller decay of the setting's and (1 + n) / (10 + n).

    The average reaches back over a tenth of the run, until the setting's is the shorter reach: a short run's average, and a
    long one's in its first epochs, would else consist of the weights that it began with. The rule is TensorFlow's
    (`tf.train.ExponentialMovingAverage`, num_updates).
    """

    def move(averages: Any, weights: Any, steps: Tensor | int) -> None:
        n = int(steps)
        get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)))(averages, weights, steps)

    return move


@dataclass
class Schedule:
    """The learning rate as a share of its setting: warm-up, then constant, plateau or cosine.

    Args:
        kind: `constant`; `plateau` (a fifth after `patience` epochs without a better score); `cosine` (down to 0 at `total`).
        warmup: steps over which the rate rises in a line from 0.
        total: steps of the whole run.
    """

    kind: str
    warmup: int
    total: int
    patience: int = 2
    reduction: float = 0.2
    factor: float = 1.0
    waited: int = 0

    def share(self, step: int) -> float:
        """For the step with this number, from 0."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        if self.kind == "cosine":
            done = min(1.0, (step - self.warmup) / max(1, self.total - self.warmup))
            return 0.5 * (1 + math.cos(math.pi * done))
        return self.factor

    def set_rates(self, optimizer: torch.optim.Optimizer, step: int) -> None:
        for group in optimizer.param_groups:
            group["lr"] = group["base_rate"] * self.share(step)

    def epoch_ended(self, better: bool) -> None:
        """Plateau looks at whether the epoch brought a better score."""
        self.waited = 0 if better else self.waited + 1
        if self.kind == "plateau" and self.waited >= self.patience:
            self.factor, self.waited = self.factor * self.reduction, 0

    def state_dict(self) -> dict[str, Any]:
        return {"factor": self.factor, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.factor, self.waited = state["factor"], state["waited"]


@dataclass
class EarlyStopping:
    """Says when training no longer helps.

    Args:
        patience: epochs without progress after which to stop.
        min_delta: a score is progress if it is lower than the last progress by this much.
    """

    patience: int = 5
    min_delta: float = 0.001
    best: float = field(default=math.inf)
    """The lowest score so far."""
    reference: float = field(default=math.inf)
    """The score that the next one must beat by `min_delta` to count as progress."""
    waited: int = 0

    def observe(self, score: float) -> bool:
        """Takes an epoch's score (lower is better); returns whether it is the best so far."""
        better = score < self.best
        self.best = min(self.best, score)
        if score < self.reference - self.min_delta:
            self.reference, self.waited = score, 0
        else:
            self.waited += 1
        return better

    @property
    def should_stop(self) -> bool:
        """Whether `patience` epochs have passed without progress."""
        return self.waited >= self.patience

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "reference": self.reference, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.reference, self.waited = state["best"], state["reference"], state["waited"]
