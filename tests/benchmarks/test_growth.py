"""How cost grows: every size of every axis is timed, and the plot is a picture."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from benchmarks import growth


def test_the_cost_of_each_size_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[int] = []
    ways = {
        "training step": lambda device, n: lambda: called.append(n),
        "beam search": lambda device, n: lambda: called.append(-n),
    }
    monkeypatch.setattr(growth, "AXES", {"pictures": ([1, 2], ways), "beams": ([3], {"beam search": ways["beam search"]})})
    found = growth.grow(torch.device("cpu"), turns=1)
    assert called == [1, 1, 2, 2, -1, -1, -2, -2, -3, -3]  # once to warm up, once timed
    assert [(axis, curve["what"], curve["sizes"]) for axis, curves in found.items() for curve in curves] == [
        ("pictures", "training step", [1, 2]), ("pictures", "beam search", [1, 2]), ("beams", "beam search", [3]),
    ]  # fmt: skip
    assert all(taken > 0 for curves in found.values() for curve in curves for taken in curve["seconds"])
    growth.draw(found, "a machine", tmp_path / "plots" / "growth.png")
    with Image.open(tmp_path / "plots" / "growth.png") as picture:
        assert min(picture.size) > 200


@pytest.mark.parametrize("axis", growth.AXES)
def test_every_axis_can_be_timed(axis: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in {"CAPTIONS": 2, "CELLS": 3, "CHANNELS": 4}.items():
        monkeypatch.setattr(growth, name, size)
    _, ways = growth.AXES[axis]
    for make in ways.values():
        make(torch.device("cpu"), 5)()
