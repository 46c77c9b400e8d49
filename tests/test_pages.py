"""The pages of use cases are true: every command runs as printed, and what the program is said to say, it says."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from showtell import cli

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = ("quick_start", "own_domain", "another_language", "sharing", "strategies", "troubleshooting")

pytestmark = [
    pytest.mark.skipif(not (DOCS / "quick_start.md").is_file(), reason="the documents are in the repository only"),
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),  # Python 3.12 on forks of processes with threads
]


class Block(NamedTuple):
    """What stands between two fences."""

    kind: str
    """bash, python: runs. text: the block before it says so. csv: an example. Nothing: a message of the program's."""
    text: str


def blocks(page: str) -> list[Block]:
    """In their order."""
    text = (DOCS / f"{page}.md").read_text("utf-8")
    return [Block(kind, block) for kind, block in re.findall(r"^ *```(\w*)\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)]


def says(shown: str, said: str) -> bool:
    """Whether the lines shown were said, but for the breaks of lines; `...` stands for anything."""
    return all(
        re.search(".*?".join(re.escape(" ".join(part.split())) for part in line.split("...")), " ".join(said.split()))
        for line in shown.splitlines()
    )


def run(commands: str) -> int:
    """Runs what a shell would, one command after another; gives the last one's exit status."""
    *before, last = [shlex.split(command) for command in commands.splitlines()]
    for program, *arguments in before:
        assert program == "showtell" and cli.main(arguments) == 0, arguments
    assert last[0] == "showtell"
    return cli.main(last[1:])


PREPARATION = next((block for block in blocks("quick_start") if block.kind == "bash"), None) if DOCS.is_dir() else None
"""The commands with which all pages begin."""


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What they leave: made once."""
    folder = tmp_path_factory.mktemp("prepared")
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("SHOWTELL_CACHE", str(tmp_path_factory.mktemp("cache")))
        assert PREPARATION and run(PREPARATION.text) == 0
    return folder


@pytest.fixture
def folder(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, in which the test is."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """ImageNet's weights are stood in for by random ones."""
    from showtell.model import weights

    monkeypatch.setattr(weights, "_download", lambda encoder: weights.BackboneWeights(None))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs_as_printed(page: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A command succeeds, or, where it is shown to complain, complains with just that sentence."""
    names: dict[str, Any] = {}
    shown = [block for block in blocks(page) if block != PREPARATION and block.kind in ("bash", "python", "text")]
    assert len(shown) >= 4
    said, status = "", 0
    for block, after in zip(shown, [*shown[1:], Block("", "")], strict=True):
        if block.kind == "text":
            assert says(block.text, said), block.text
            continue
        if block.kind == "bash":
            status = run(block.text)
        else:
            exec(compile(block.text, page, "exec"), names)
        said = "".join(capsys.readouterr())
        complains = after.kind == "text" and after.text.startswith("showtell: ")
        assert (status != 0) is (block.kind == "bash" and complains), said
        status = 0


def test_the_readme_links_to_every_page() -> None:
    linked = re.findall(r"\(docs/(\w+)\.md[)#]", (ROOT / "README.md").read_text("utf-8"))
    assert set(PAGES) <= set(linked)


@pytest.mark.parametrize("page", [*DOCS.glob("*.md"), ROOT / "README.md"], ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([\w./]*)#?([\w-]*)\)", page.read_text("utf-8")):
        file = page.parent / target if target else page
        assert file.is_file(), target
        headings = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE) if file.suffix == ".md" else []
        assert not anchor or anchor in [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]


def test_pages_can_be_followed_one_after_another() -> None:
    """None writes where another has written, and a set that two of them draw is the same."""
    written: dict[tuple[str, str], str] = {}
    for page in PAGES:
        for line in (line for block in blocks(page) if block.kind == "bash" for line in block.text.splitlines()):
            command = line.split(" --")[0]
            for flag, place in re.findall(r" --(output_dir|output_name|output|data) (\S+)", line):
                if (flag == "data") is (command == "showtell data scenes") and command != "showtell train":
                    assert written.setdefault((flag, place), line) == line, (page, line)


@pytest.mark.parametrize("page", PAGES)
def test_settings_that_are_named_are_there(page: str) -> None:
    flags = set(re.findall(r"--(\w+)", (ROOT / "tests" / "flags.txt").read_text("utf-8")))
    named = set(re.findall(r"--(\w+)", (DOCS / f"{page}.md").read_text("utf-8")))
    assert [name for name in named if name not in flags and name.removeprefix("no_") not in flags] == []


# -------------------------------------------------------------------------------------- messages without a command beside them

TRAIN = "showtell train --config recipes/demo.yaml --data scenes --workers 0 --output_dir runs/it --vocab runs/it/vocab.pkl "
CAPTION = "showtell caption scenes/images/test/scene_2000001.png "


def lack_memory(patch: pytest.MonkeyPatch) -> None:
    from showtell.model.decoder import Decoder

    def fail(decoder: Any, grid: Any, *more: Any) -> Any:
        raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    patch.setattr(Decoder, "start", fail)
    patch.setattr(Decoder, "forward", fail)


def lack_disk(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(9, 9, 0))  # type: ignore[attr-defined]


def lose_a_worker(patch: pytest.MonkeyPatch) -> None:
    from showtell.data.batches import CaptionedPictures

    def die(source: Any, index: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    patch.setattr(CaptionedPictures, "__getitem__", die)


def never_learn(patch: pytest.MonkeyPatch) -> None:
    from showtell.training import loop

    patch.setattr(loop, "validate", lambda run, seconds: 1.0)


def lose_the_loss(patch: pytest.MonkeyPatch) -> None:
    from showtell.training.loss import TrainingModel

    forward = TrainingModel.forward

    def broken(model: Any, batch: Any) -> Any:
        loss, tally = forward(model, batch)
        return loss * float("nan"), tally

    patch.setattr(TrainingModel, "forward", broken)


def lack_network(patch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def fail(*arguments: Any, **more: Any) -> None:
        raise OSError("Network is unreachable")

    patch.setattr(huggingface_hub, "snapshot_download", fail)


PROVOCATIONS: list[tuple[str, Callable[[pytest.MonkeyPatch], None] | None]] = [
    (CAPTION + "--model pretrained_models/scenes.pt", lack_memory),
    (TRAIN, lack_memory),
    (TRAIN + "--freeze_encoder", lack_disk),
    (TRAIN.replace("--workers 0", "--workers 1"), lose_a_worker),
    (TRAIN + "--device cuda", lambda patch: patch.setattr("torch.cuda.is_available", lambda: False)),
    (TRAIN + "--freeze_encoder --max_steps 1", None),
    (TRAIN + "--captions_per_picture 1 --epochs 9 --early_stop_patience 1", never_learn),
    (TRAIN, lose_the_loss),
    ("showtell train --annotations few.csv --images scenes/images/train --output_dir runs/few --vocab runs/few/vocab.pkl", None),
    (CAPTION + f"--model {ROOT / 'tests' / 'model' / 'hostile' / 'newer.pt'}", None),
    (CAPTION + "--model owner/name", lack_network),
]
"""What brings each of them about, in the order of the page: a command, and what is wrong with the machine."""


@pytest.mark.parametrize("number", range(len(PROVOCATIONS)))
def test_a_message_of_the_troubleshooting_page_is_the_programs(
    number: int, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    messages = [block.text for block in blocks("troubleshooting") if block.kind == ""]
    assert len(messages) == len(PROVOCATIONS)
    (folder / "few.csv").write_text("image,caption\nscene_0000001.png,a shoe\nscene_0000002.png,a boot\n")
    command, wrong = PROVOCATIONS[number]
    if wrong:
        wrong(monkeypatch)
    status = run(command)
    assert says(messages[number], capsys.readouterr().err)
    assert (status != 0) is messages[number].lstrip().startswith("showtell: ")
