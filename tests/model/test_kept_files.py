"""Model files from elsewhere: those of every format ever written still caption, hostile ones are refused and cost nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from showtell.model.captioner import Captioner
from showtell.model.hub import is_exported, load_model
from showtell.search import SearchOptions

FORMATS, HOSTILE = (Path(__file__).with_name(name) for name in ("formats", "hostile"))


def models(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix == ".pt" or (path / "config.json").is_file())


@pytest.mark.parametrize("path", models(FORMATS), ids=lambda path: path.name)
def test_every_format_ever_written_captions(path: Path) -> None:
    """Kept as they were written (formats/make.py; v1_onnx is v1_first, exported); they hold the same weights and say the same."""
    if not is_exported(path):
        pytest.importorskip("timm")
    captioner = Captioner.from_pretrained(path, "cpu")
    ramp = np.indices((96, 96)).sum(0)[..., None] * np.array([1, 2, 3]) % 256  # a coloured pattern
    (caption,) = captioner.caption_pixels(ramp[None].astype(np.uint8), SearchOptions(search="greedy", min_length=4, max_length=4))
    assert caption.text == "On star star star"
    assert caption.log_probabilities == pytest.approx([-1.510, -2.183, -2.024, -1.812], abs=2e-3)


PROGRAM = """
import resource, sys
from showtell.errors import Problem
from showtell.model.hub import load_model
import showtell.model.encoder, torchvision, timm

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10  # MiB, on Linux

for path in sys.argv[1:]:
    before = peak()
    try:
        load_model(path).build()
        print(path, "was loaded")
    except Problem as problem:
        if peak() - before > 64 or "\\n" in str(problem):
            print(path, peak() - before, "MiB", problem)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted otherwise elsewhere")
def test_hostile_files_are_refused_in_a_sentence_without_memory(tmp_path: Path) -> None:
    """In a process of their own, where nothing else takes memory, and where a file that ran code would leave `ran`."""
    pytest.importorskip("timm")
    paths = [str(path) for path in HOSTILE.iterdir() if path.is_dir() or path.suffix == ".pt"]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *paths], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("", 0), done.stderr
    assert len(paths) > 15 and not any(tmp_path.iterdir())


def test_a_hostile_file_has_its_reason() -> None:
    from showtell.errors import Problem

    for name, said in {
        "code.pt": "carries code", "bare_code.pt": "carries code", "giant_bytes.pt": "carries code",
        "bomb.pt": "would unpack to 64 MiB",
        "newer.pt": "install a newer", "terabytes_of_one_number.pt": "larger than what the file holds",
        "giant_header": "its header claims", "a_giant_state.pt": "do not fit",
        "fetch_from_the_network.pt": "not the name of a network",
        "deep_settings": "as settings",
        "settings_of_another_program": "is not a showtell model", "unknown_weights": "which is of no model",
    }.items():  # fmt: skip
        with pytest.raises(Problem, match=said):
            load_model(HOSTILE / name).build()
