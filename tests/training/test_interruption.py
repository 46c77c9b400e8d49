"""Ctrl-C and SIGTERM: the step is finished and saved; nothing else of the program changes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from training_kit import losses, run, same_run, small

import showtell
from showtell.data.batches import BatchOrder, Item
from showtell.training.interruption import Interrupted, Interruption
from showtell.training.log import Log
from showtell.training.state import Feed

BOTH = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("number", BOTH)
def test_the_first_signal_is_noted(number: int) -> None:
    before = [signal.getsignal(each) for each in BOTH]
    with Interruption() as interruption:
        assert not interruption.wanted
        os.kill(os.getpid(), number)
        assert interruption.wanted
        assert [signal.getsignal(each) for each in BOTH] == before  # the second one ends the program as usual
    assert [signal.getsignal(each) for each in BOTH] == before


def test_the_second_one_ends_the_program() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with Ctrl-C ignored
    try:
        with pytest.raises(KeyboardInterrupt), Interruption():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_fails_inside_puts_the_handlers_back() -> None:
    before = [signal.getsignal(each) for each in BOTH]
    with pytest.raises(ZeroDivisionError), Interruption():
        raise ZeroDivisionError
    assert [signal.getsignal(each) for each in BOTH] == before


def test_it_works_in_a_thread_where_no_signals_come() -> None:
    found = []

    def enter() -> None:
        with Interruption() as interruption:
            found.append(interruption.wanted)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [False]


@pytest.mark.parametrize("number", BOTH)
def test_a_run_saves_leaves_and_goes_on(
    tmp_path: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    step = Log.step

    def signalled(log: Log, at: int, loss: torch.Tensor, **numbers: Any) -> None:
        step(log, at, loss, **numbers)
        if at == 3:  # inside the second epoch
            os.kill(os.getpid(), number)

    settings = small(tmp_path / "stopped", scenes)
    with monkeypatch.context() as patch, pytest.raises(Interrupted, match=r"stopped at step 4, saved in .* --resume\.") as caught:
        patch.setattr(Log, "step", signalled)
        run(settings)
    assert caught.value.status == 130
    assert len(losses(tmp_path / "stopped" / "run")) == 4
    resumed = run(replace(settings, training=replace(settings.training, resume=True)))
    same_run(resumed, run(small(tmp_path / "undisturbed", scenes)))


class AskedForSignals:
    """A source whose pictures say what the process that opens them does with signals."""

    def __len__(self) -> int:
        return 1

    def set_epoch(self, epoch: int) -> None: ...

    def __getitem__(self, index: int) -> Item:
        return Item(None, [], f"{signal.getsignal(signal.SIGINT)!r} {signal.getsignal(signal.SIGTERM)!r}")


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 on forks of processes with threads
def test_processes_that_open_pictures_go_on_after_a_signal() -> None:
    """A terminal or batch system sends it to them as well; the step that is being finished still needs them."""
    with Interruption():
        (batch,) = Feed(AskedForSignals(), BatchOrder(1, 1, None), workers=1).batches(0)
    assert batch.skipped == (f"{signal.SIG_IGN!r} {signal.SIG_IGN!r}",)


FAILING = """
import sys
from showtell.data.batches import BatchOrder, Item
from showtell.training.state import Feed

class Pictures:
    def __len__(self): return 8
    def set_epoch(self, epoch): ...
    def __getitem__(self, index): return Item(None, [], "broken")

if __name__ == "__main__":
    batches = Feed(Pictures(), BatchOrder(8, 1, None), workers=2).batches(0)
    next(batches)
    sys.modules["kept"] = batches  # as the traceback of a failure keeps them
    raise ZeroDivisionError
"""


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals there")
def test_a_program_that_fails_does_not_wait_for_its_workers(tmp_path: Path) -> None:
    """They ignore SIGTERM, by which multiprocessing ends them when the program does."""
    program = tmp_path / "failing.py"
    program.write_text(FAILING, "utf-8")
    paths = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(showtell.__file__).parents[1]), *sys.path])}
    done = subprocess.run([sys.executable, "-W", "ignore", program], capture_output=True, text=True, timeout=120, env=paths)
    assert done.returncode == 1 and done.stderr.endswith("ZeroDivisionError\n"), done.stderr
