"""How the hostile files came to be: `python tests/model/hostile/make.py` in the root folder writes them anew."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from showtell.model.options import DecoderOptions, EncoderOptions
from showtell.pictures import PictureOptions
from showtell.vocabulary import SPECIALS, Vocabulary

HERE = Path(__file__).parent
WORDS = Vocabulary((*SPECIALS, "a"))
ONE = torch.zeros(1)


class Code:
    """Unpickled carelessly, it makes a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


class GiantBytes:
    """A pickle that torch lets make as many bytes as it likes."""

    def __reduce__(self) -> tuple[Any, ...]:
        return bytearray, (2_000_000_000,)


def about(**decoder: Any) -> dict[str, Any]:
    """What a model says of itself, with some of the decoder's options changed."""
    return {
        "format": "showtell", "format_version": 1, "showtell_version": "0.1.0",
        "architecture": {"encoder": asdict(EncoderOptions("tiny", "none")), "decoder": asdict(DecoderOptions(8, 8, 8)) | decoder},
        "pictures": asdict(PictureOptions(picture_size=32)), "vocabulary_checksum": WORDS.checksum, "training": {}, "scores": {},
    }  # fmt: skip


def file(name: str, content: dict[str, Any]) -> None:
    torch.save({"vocabulary": WORDS.to_dict(), "encoder": {}, "decoder": {}} | content, HERE / f"{name}.pt")


def folder(name: str, config: str | dict[str, Any], weights: bytes) -> None:
    (HERE / name).mkdir()
    (HERE / name / "config.json").write_text(config if isinstance(config, str) else json.dumps(config), "utf-8")
    (HERE / name / "model.safetensors").write_bytes(weights)
    (HERE / name / "vocab.json").write_text(json.dumps(WORDS.to_dict()), "utf-8")


def header(content: dict[str, Any] | bytes, length: int | None = None) -> bytes:
    """The beginning of a safetensors file."""
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text


def make() -> None:
    """Writes all of them."""
    for path in HERE.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.suffix == ".pt":
            path.unlink()
    rows = {"embedding.weight": torch.zeros(len(WORDS), 8)}
    file("code", about() | {"training": {"a": Code()}})
    (HERE / "bare_code.pt").write_bytes(pickle.dumps(Code()))
    file("giant_bytes", about() | {"training": {"a": GiantBytes()}})
    file("newer", about() | {"format_version": 99})
    file("terabytes_of_one_number", about() | {"decoder": {"embedding.weight": ONE.expand(len(WORDS), 1 << 40)}})
    file("a_giant_state", about(hidden_size=1 << 20) | {"decoder": rows})
    file("beyond_all_numbers", about(attention_dim=1 << 62) | {"decoder": rows})
    fetching = {"encoder": {"encoder": "timm:hf-hub:somebody/else"}, "decoder": asdict(DecoderOptions(8, 8, 8))}
    file("fetch_from_the_network", about() | {"decoder": rows, "architecture": fetching})
    file("numbers_for_words", about() | {"vocabulary": {"format": "showtell vocabulary", "version": 1, "words": [1, 2, 3]}})
    file("sparse", about() | {"decoder": {"embedding.weight": torch.sparse_coo_tensor((len(WORDS), 1 << 40))}})
    whole = (HERE / "newer.pt").read_bytes()
    (HERE / "cut_off.pt").write_bytes(whole[: len(whole) // 2])
    with zipfile.ZipFile(HERE / "bomb.pt", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("bomb/data.pkl", bytes(1 << 26))

    tensor = {"dtype": "F32", "shape": [len(WORDS), 8], "data_offsets": [0, 160]}
    folder("giant_header", about(), header({}, 1 << 60))
    folder("header_beyond_the_file", about(), header({}, 1 << 20))
    folder("header_of_nonsense", about(), header(b"[" * 1000))
    folder("overlapping", about(), header({"decoder.a": tensor, "decoder.b": tensor}) + bytes(160))
    folder(
        "more_than_is_there",
        about(),
        header({"decoder.a": tensor | {"data_offsets": [0, 1 << 40], "shape": [1 << 38]}}) + bytes(160),
    )
    folder("unknown_weights", about(), header({"else.a": tensor}) + bytes(160))
    folder("deep_settings", "[" * 100_000, header({}))
    folder("settings_of_another_program", {"model_type": "bert"}, header({}))
    folder("a_giant_attention", about(attention_dim=1 << 40), header({"decoder.embedding.weight": tensor}) + bytes(160))


if __name__ == "__main__":
    make()
