"""Real processes that are killed, interrupted, or many: what they leave can be gone on with, bit for bit."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_kit import command, environment, events, losses, run, same_run, small, weights

from showtell.errors import WrongUse
from showtell.model.artefact import read_model_file

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="there are no such signals there")]

LONGEST = 600
"""Seconds after which a process is thought to hang."""


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process with a group of its own, none of which outlives the block."""
    process = subprocess.Popen(
        [sys.executable, *arguments], env=environment(), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Until it holds or the process has ended."""
    deadline = time.monotonic() + LONGEST
    while process.poll() is None and not condition():
        assert time.monotonic() < deadline, "the process hangs"
        time.sleep(0.005)


def steps_in(folder: Path) -> int:
    log = folder / "log.jsonl"
    return log.read_text("utf-8").count('"event": "step"') if log.is_file() else 0


def test_a_run_killed_at_random_moments_has_the_losses_of_one_that_was_not(tmp_path: Path, scenes: Path) -> None:
    ways = {"epochs": 8, "accumulate": 2, "ema": 0.9, "augment": True}
    undisturbed = run(small(tmp_path / "undisturbed", scenes, **ways))
    settings, dice = small(tmp_path / "killed", scenes, **ways, checkpoint_minutes=0.0), random.Random()
    folder, kills = settings.training.output_dir, 0
    for _ in range(50):
        before, more, pause = steps_in(folder), dice.randint(0, 5), dice.random() / 10
        with started(*command(settings, "--resume")) as process:
            wait_for(lambda: steps_in(folder) > before + more, process)  # noqa: B023  (called before the next round)
            time.sleep(pause)
            if kills < 5:
                process.kill()
            _, said = process.communicate(timeout=LONGEST)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, said
        kills += 1
    assert kills >= 3
    same_run(folder, undisturbed)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("send", "number"),
    [(os.kill, signal.SIGTERM), (os.killpg, signal.SIGTERM), (os.killpg, signal.SIGINT)],
    ids=["SIGTERM to the process", "SIGTERM to its group", "Ctrl-C"],
)
def test_a_process_that_is_asked_to_stop_saves_and_leaves_with_130(
    tmp_path: Path, scenes: Path, send: Callable[[int, int], None], number: signal.Signals, workers: int
) -> None:
    """`timeout` and batch systems send SIGTERM to all of its group, a terminal Ctrl-C."""
    settings = small(tmp_path / "stopped", scenes, epochs=500, workers=workers)
    folder = settings.training.output_dir
    with started(*command(settings)) as process:
        wait_for(lambda: steps_in(folder) > 10, process)
        send(process.pid, number)
        _, said = process.communicate(timeout=LONGEST)
    stopped_at = read_model_file(folder / "last_model.pt")["checkpoint"]["position"]["step"]
    assert process.returncode == 130, said
    assert said == f"showtell: stopped at step {stopped_at}, saved in {folder}: go on with the same command and --resume.\n"

    three_more = stopped_at + 3
    run(replace(settings, training=replace(settings.training, resume=True, max_steps=three_more)))
    undisturbed = run(small(tmp_path / "undisturbed", scenes, epochs=500, workers=workers, max_steps=three_more))
    assert losses(folder) == losses(undisturbed)


def test_processes_that_open_pictures_leave_when_the_main_one_is_killed(tmp_path: Path, scenes: Path) -> None:
    settings = small(tmp_path, scenes, epochs=500, workers=2)
    with started(*command(settings)) as process:
        wait_for(lambda: steps_in(settings.training.output_dir) > 10, process)
        process.kill()
        process.communicate(timeout=LONGEST)  # until nobody holds its standard error any more


def test_two_processes_make_the_steps_of_one_that_accumulates_two_batches(tmp_path: Path, scenes: Path) -> None:
    still = {"unfrozen_groups": 0, "dropout": 0.0, "embed_dropout": 0.0, "batch_size": 2}
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")

    def run_by_two(name: str, *flags: str, **changes: object) -> Path:
        settings = small(tmp_path / name, scenes, **still, **changes)
        with started(*launch, *command(settings, *flags)) as process:
            _, said = process.communicate(timeout=LONGEST)
        assert process.returncode == 0, said
        return settings.training.output_dir

    by_two = run_by_two("two", max_steps=2)
    alone = run(small(tmp_path / "one", scenes, **still, accumulate=2, max_steps=2))
    mine, yours = weights(by_two / "last_model.pt"), weights(alone / "last_model.pt")
    for name in mine:
        torch.testing.assert_close(mine[name], yours[name], atol=1e-5, rtol=1e-4)
    assert [loss for _, loss in losses(by_two)] == pytest.approx([loss for _, loss in losses(alone)][::2], rel=1e-4)

    run_by_two("two", "--resume")  # to the end of its epochs
    same_run(by_two, run_by_two("two_undisturbed"))
    assert len(events(by_two, "epoch")) == 2
    with pytest.raises(WrongUse, match=r"began with 2 process\(es\), and now there are 1: launch as many"):
        run(small(tmp_path / "two", scenes, **still, resume=True))


def test_processes_do_not_wait_for_one_whose_batch_cannot_be_read(tmp_path: Path, scenes: Path) -> None:
    """A picture a batch: whose batch is the broken one has gradients of zero, which the other waits for."""
    data = Path(shutil.copytree(scenes, tmp_path / "scenes"))
    min((data / "images" / "train").iterdir()).write_bytes(b"no picture")
    settings = small(tmp_path, data, batch_size=1, quiet=False)
    with started("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *command(settings)) as process:
        _, said = process.communicate(timeout=LONGEST)
    assert process.returncode == 0, said
    assert "skipped: " in said and "its 2 epochs are done" in said
