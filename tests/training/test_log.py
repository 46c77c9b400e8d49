"""The log: whole lines, no line twice, and losses that ran away are noticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from showtell.training.log import Log, say


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]


def begun(folder: Path, step: int, epoch: int) -> Log:
    log = Log(folder, step, epoch)
    log.begin()
    return log


def write(folder: Path, first: int, last: int, epoch: int = 0) -> None:
    """Steps of a run, and the epoch that the last one ends."""
    log = begun(folder, first, epoch)
    for step in range(first, last):
        log.step(step, torch.tensor(float(step)))
    log.flush()
    log.event("epoch", last - 1, epoch=epoch + 1, val_loss=2.5)
    log.close()


def test_every_number_is_in_the_file_and_on_the_board(tmp_path: Path) -> None:
    write(tmp_path, 0, 2)
    assert lines(tmp_path) == [
        {"event": "step", "step": 0, "loss": 0.0},
        {"event": "step", "step": 1, "loss": 1.0},
        {"event": "epoch", "step": 1, "epoch": 1, "val_loss": 2.5},
    ]
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert [(point.step, point.value) for point in board.Scalars("step/loss")] == [(0, 0.0), (1, 1.0)]
    assert board.Scalars("epoch/val_loss")[0].value == 2.5


def test_steps_wait_until_they_are_asked_for(tmp_path: Path) -> None:
    log = begun(tmp_path, 0, 0)
    log.step(0, torch.tensor(1.5))
    assert lines(tmp_path) == []
    assert log.flush() is None
    assert len(lines(tmp_path)) == 1
    log.step(1, torch.tensor(2.5))
    log.close()
    assert len(lines(tmp_path)) == 2


def test_lines_that_are_damaged_are_dropped(tmp_path: Path) -> None:
    write(tmp_path, 0, 3)
    with (tmp_path / "log.jsonl").open("ab") as file:
        file.write(b'{"event": "step", \n\xff\n{"message": "of another program"}\n[]\n')
    begun(tmp_path, 3, 1).close()
    assert [line["step"] for line in lines(tmp_path)] == [0, 1, 2, 2]


def test_a_run_that_goes_on_drops_what_it_will_write_again(tmp_path: Path) -> None:
    write(tmp_path, 0, 3)
    write(tmp_path, 3, 6, epoch=1)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"event": "st')  # a kill left half a line
    begun(tmp_path, 5, 1).close()
    assert [(line["event"], line["step"]) for line in lines(tmp_path)] == [
        ("step", 0), ("step", 1), ("step", 2), ("epoch", 2), ("step", 3), ("step", 4),
    ]  # fmt: skip


def test_an_epoch_that_is_validated_again_is_written_once(tmp_path: Path) -> None:
    """The checkpoint is of the epoch's last step, the kill came after the validation: the steps stay, the epoch's line goes."""
    write(tmp_path, 0, 3)
    begun(tmp_path, 3, 0).close()
    assert [line["event"] for line in lines(tmp_path)] == ["step"] * 3


def test_a_new_run_begins_a_new_log(tmp_path: Path) -> None:
    write(tmp_path, 0, 3)
    begun(tmp_path, 0, 0).close()
    assert lines(tmp_path) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_not_finite_is_told(tmp_path: Path, value: float) -> None:
    log = begun(tmp_path, 0, 0)
    for step, loss in enumerate((1.0, value, 2.0)):
        log.step(step, torch.tensor(loss))
    assert str(log.flush()) == str(value)
    assert log.flush() is None
    log.close()


def test_other_processes_write_nothing_but_notice_too(tmp_path: Path) -> None:
    log = Log(tmp_path / "run", 0, 0, writes=False)
    log.begin()
    log.step(0, torch.tensor(float("nan")))
    assert log.flush() is not None
    log.event("epoch", 0, val_loss=1.0)
    log.close()
    assert not (tmp_path / "run").exists()


def test_words_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    say("hello")
    say("nobody hears this", quiet=True)
    assert capsys.readouterr() == ("", "hello\n")
