"""The command line: its flags are frozen, what goes wrong is a sentence, and the exit status tells which kind it was."""

from __future__ import annotations

import errno
import os
import re
import shlex
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from showtell import __version__, cli
from showtell.errors import Problem, WrongUse

FLAGS = Path(__file__).with_name("flags.txt")


def flags_now() -> str:
    """Every command and its flags, as `--help` shows them."""
    lines = []
    for name in cli.COMMANDS:
        code = "import sys; from showtell.cli import main; sys.exit(main())"
        shown = subprocess.run(
            [sys.executable, "-c", code, *name.split(), "--help"], capture_output=True, text=True, encoding="utf-8"
        )
        lines += [name, *(f"  {flag}" for flag in sorted(set(re.findall(r"^│ (?:-h, )?(--\w+)", shown.stdout, re.MULTILINE))))]
    return "\n".join(lines) + "\n"


def test_flags_are_frozen() -> None:
    before, now = FLAGS.read_text(encoding="utf-8").splitlines(), flags_now().splitlines()
    assert now == before, (
        f"The flags changed: gone {sorted(set(before) - set(now))}, new {sorted(set(now) - set(before))}. Flags are a promise to "
        f"users. If the change is meant, say so in CHANGELOG.md and write the list anew: python {Path(__file__).name} in tests/."
    )


# ---------------------------------------------------------------------------------------------------------- exit statuses


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Adds a command `break` that raises what the test hands over, or returns it."""

    def add(outcome: BaseException | int) -> None:
        def run(call: cli.Call) -> int:
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        monkeypatch.setitem(cli.COMMANDS, "break", cli.Command("Breaks.", run))

    return add


@pytest.mark.parametrize(
    ("outcome", "status", "said"),
    [
        (0, 0, ""),
        (1, 1, ""),
        (WrongUse("a is wrong; use b."), 2, "showtell: a is wrong; use b.\n"),
        (Problem("c broke; mend it."), 3, "showtell: c broke; mend it.\n"),
        (KeyboardInterrupt(), 130, "showtell: Interrupted.\n"),
        (OSError(errno.ENOSPC, "No space left on device"), 3, "showtell: The disk is full; make room, then run this again.\n"),
        (
            PermissionError(errno.EACCES, "Permission denied", "out.jsonl"),
            3,
            "showtell: Permission denied: out.jsonl; see that it can be read and written, or name another place.\n",
        ),
        (ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"), 3, 'pip install ".[train]"'),
    ],
)
def test_what_went_wrong_is_a_sentence_and_a_status(
    command: Any, capsys: pytest.CaptureFixture[str], outcome: BaseException | int, status: int, said: str
) -> None:
    command(outcome)
    assert cli.main(["break"]) == status
    printed = capsys.readouterr().err
    assert said in printed if said else printed == ""
    assert "Traceback" not in printed


def test_a_command_of_two_words_is_named_whole(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def no_torch(call: cli.Call) -> int:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setitem(cli.COMMANDS, "data features", cli.Command("", no_torch))
    assert cli.main(["data", "features", "--quiet"]) == 3
    assert "showtell data features needs packages that are not installed" in capsys.readouterr().err


def test_a_bug_keeps_its_traceback(command: Any) -> None:
    command(ModuleNotFoundError("No module named 'showtell.nothing'", name="showtell.nothing"))
    with pytest.raises(ModuleNotFoundError):
        cli.main(["break"])


def test_a_reader_that_leaves_is_no_fault() -> None:
    """`showtell ... | head -0`: no traceback, not even from Python's last flush."""
    code = (
        "import sys; from showtell import cli\n"
        "cli.COMMANDS['talk'] = cli.Command('', lambda call: [print('caption') for _ in range(100_000)] and 0)\n"
        "sys.exit(cli.main(['talk']))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as talking:
        assert talking.stdout and talking.stderr
        talking.stdout.close()
        assert talking.stderr.read() == b""
    assert talking.returncode == 3


# ------------------------------------------------------------------------------------------------------------- the front


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == cli.main(["train", "--version"]) == 0
    assert capsys.readouterr().out == f"showtell {__version__}\n" * 2


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed and command.line in listed for name, command in cli.COMMANDS.items())
    assert cli.main([]) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [(["trian"], "did you mean train?"), (["data", "scene"], "did you mean data scenes?"), (["x"], "no command x;")],
)
def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert cli.main(words) == 2
    assert said in capsys.readouterr().err


def test_a_group_of_commands_lists_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["data", "--help"]) == 0
    listed = capsys.readouterr().out
    assert "data scenes" in listed and "caption " not in listed
    assert cli.main(["data"]) == 2


@pytest.mark.skipif(os.name == "nt", reason="a shell that closes streams")
@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_streams_may_be_closed(closed: str) -> None:
    done = subprocess.run(f"{shlex.quote(sys.executable)} -m showtell --version {closed}", shell=True, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_config_py_in_the_current_folder_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text("raise RuntimeError('imported a stranger')")
    done = subprocess.run([sys.executable, "-m", "showtell", "train", "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# --------------------------------------------------------------------------------------------- what the commands hand on


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a command handed to the room that does the work, which is not called."""
    caught: dict[str, Any] = {}
    training, captioning = types.ModuleType("showtell.training.run"), types.ModuleType("showtell.captioning.run")
    training.train = lambda plan: caught.update(vars(plan)) or types.SimpleNamespace(status=1)  # type: ignore[attr-defined]
    captioning.caption_pictures = lambda options, search: caught.update(options=options, search=search) or 1  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "showtell.training.run", training)
    monkeypatch.setitem(sys.modules, "showtell.captioning.run", captioning)
    return caught


def test_train_hands_each_room_its_options(handed: dict[str, Any]) -> None:
    assert cli.main(["train", "--batch_size", "4", "--encoder", "tiny", "--min_frequency", "1"]) == 1  # as the room says
    assert (handed["training"].batch_size, handed["encoder"].encoder, handed["vocabulary"].min_frequency) == (4, "tiny", 1)
    assert handed["settings"]["training"]["batch_size"] == 4
    assert set(handed["settings"]) == set(handed) - {"settings"} == {
        "data", "vocabulary", "pictures", "augment", "encoder", "decoder", "training",
    }  # fmt: skip


def test_the_model_named_speaks_else_the_one_that_config_names_if_it_is_there_else_the_box(
    handed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = type("Config", (), {"CHECKPOINT_DIR": "checkpoints"})
    trained = Path("checkpoints/best_model.pt")

    def asked(*flags: str, config: object | None = None) -> Path | None:
        assert cli.main(["caption", "a.jpg", *flags], config=config) == 1  # the status of the room is the command's
        return handed["options"].model

    assert asked() is asked(config=config) is None  # the room takes the box
    trained.parent.mkdir()
    trained.touch()
    assert asked() is None  # it merely lies there
    assert asked(config=config) == trained
    assert asked("--language", "en", config=config) is None  # which is the box's to speak
    assert asked("--model", "mine.pt", config=config) == asked("--model", "mine.pt") == Path("mine.pt")
    assert asked("--beam_size", "3") is None
    assert (handed["options"].image, handed["search"].beam_size) == (("a.jpg",), 3)


if __name__ == "__main__":
    FLAGS.write_text(flags_now(), encoding="utf-8")
