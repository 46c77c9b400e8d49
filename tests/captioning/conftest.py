"""Pictures to caption, and something that captions them at once."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_captioner import Caption, fake_module
from PIL import Image

from showtell.captioning.options import CaptioningOptions
from showtell.captioning.run import caption_pictures
from showtell.search import SearchOptions


@pytest.fixture
def captioner(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The class of the fake captioner, in the place of the real one."""
    module = fake_module()
    monkeypatch.setitem(sys.modules, "showtell.model.captioner", module)
    return module.Captioner


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: `photos` with a broken picture and seven whole ones, two of them in `sub`; `model.pt`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.pt").write_bytes(b"weights")
    (tmp_path / "photos/sub").mkdir(parents=True)
    for number, name in enumerate(
        ["a_001.png", "c_003.png", "d_004.jpg", "e_005.png", "f_006.png", "sub/a_001.png", "sub/z.png"]
    ):
        Image.new("RGB", (24, 20), (36 * number,) * 3).save(tmp_path / "photos" / name)
    (tmp_path / "photos/b_002.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more came")
    (tmp_path / "photos/notes.txt").write_text("no picture")
    return tmp_path


@pytest.fixture
def caption(here: Path, captioner: Any, monkeypatch: pytest.MonkeyPatch) -> Caption:
    """Captions with the fake captioner, two pictures at a time; gives the exit status."""

    def run(*images: str, search: SearchOptions | None = None, stdin: str = "", **options: Any) -> int:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
        paths = {key: Path(value) if key in ("output", "attention", "annotations") else value for key, value in options.items()}
        settings = {"model": Path("model.pt"), "batch_size": 2, "workers": 2} | paths
        return caption_pictures(CaptioningOptions(image=images, **settings), search or SearchOptions())

    return run
