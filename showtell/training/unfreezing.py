"""Gradual unfreezing: from which epoch on which layer groups of the encoder train (Howard and Ruder 2018, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

from showtell.errors import WrongUse
from showtell.model.encoder import Encoder


class Unfreezing:
    """The schedule `EPOCH:GROUP ...`; without one, the groups that train from the start are those that train.

    Args:
        encoder: stands still until the schedule names its first group; then that group and all behind it train.
        schedule: as `TrainingOptions.unfreeze` holds it.

    Raises:
        WrongUse: the encoder has no such group.
    """

    def __init__(self, encoder: Encoder, schedule: Sequence[str]) -> None:
        self.encoder, names = encoder, list(encoder.layer_groups())
        self.steps: list[tuple[int, int]] = []
        """Epoch (the first is 1), and how many groups train from it on, counted from the output."""
        for step in schedule:
            epoch, _, name = step.partition(":")
            if name not in (*names, "all"):
                raise WrongUse(f"unfreeze names {name}, but the encoder's groups are {', '.join(names)} (or all).")
            self.steps.append((int(epoch), len(names) - (0 if name == "all" else names.index(name))))
        if self.steps:  # whatever will train must train now, for the optimiser to take it up
            encoder.freeze()
            encoder.unfreeze(max(groups for _, groups in self.steps))

    def begin(self, epoch: int) -> bool:
        """Lets those groups train whose turn has come in the epoch (from 0); returns whether they are others than before."""
        if not self.steps:
            return False
        before = len(self.encoder.frozen_groups())
        self.encoder.freeze()
        self.encoder.unfreeze(max((groups for first, groups in self.steps if first <= epoch + 1), default=0))
        return len(self.encoder.frozen_groups()) != before
