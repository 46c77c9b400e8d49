"""A model as a folder that the Hugging Face Hub takes: weights, settings, words and a model card, each in a file of its own.

model.safetensors   the weights, named encoder.* and decoder.*
config.json         format version, architecture, picture settings, training, scores
vocab.json          the words
README.md           the model card
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from showtell.errors import Problem, disk_sentences, first_line
from showtell.files import as_utf8, written_whole
from showtell.model.artefact import Artefact, artefact_of
from showtell.model.card import Licences, model_card
from showtell.model.config import CARD, CLASSES, CONFIG, FILES, GRAPHS, WEIGHTS, WORDS, check_format, read_config
from showtell.model.reading import check_header
from showtell.vocabulary import load_vocab, save_vocab


def save_folder(artefact: Artefact, folder: Path, licences: Licences | None = None) -> None:
    """Writes the folder, whole or not at all; a model folder of that name is replaced.

    Raises:
        Problem: it cannot be written, or what lies there is no model folder.
    """
    tensors = {f"encoder.{name}": tensor for name, tensor in artefact.encoder.items()}
    tensors |= {f"decoder.{name}": tensor for name, tensor in artefact.decoder.items()}
    with replaced_whole(folder) as new:
        write(new / WEIGHTS, safetensors.torch.save({n: t.contiguous() for n, t in tensors.items()}, {"format": "pt"}))
        write(new / CONFIG, as_utf8(json.dumps(artefact.about(), indent=2, ensure_ascii=False) + "\n"))
        write(new / CARD, as_utf8(model_card(artefact, folder.name, licences or Licences())))
        save_vocab(artefact.vocabulary, new / WORDS)


@contextmanager
def replaced_whole(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of `folder`, a model folder or nothing, only when the block ends well.

    Raises:
        Problem: it cannot be written, or what lies there is no model folder.
    """
    if folder.exists() and (other := _something_else(folder)):
        raise Problem(f"{folder} is there, and {other}: name another --model_name or --output_dir.")
    with disk_sentences(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as work:
            new, old = Path(work) / "new", Path(work) / "old"
            new.mkdir()
            yield new
            try:
                if folder.exists():
                    folder.replace(old)
                new.replace(folder)
            except BaseException:
                if old.exists() and not folder.exists():
                    old.replace(folder)
                raise
            shutil.rmtree(old, ignore_errors=True)


def _something_else(folder: Path) -> str:
    """What would be lost with the folder beside a model of showtell's, as a clause; nothing is lost with an empty one."""
    if not folder.is_dir():
        return "is no folder"
    names = {path.name for path in folder.iterdir()} - {".DS_Store", ".gitattributes"}
    try:
        ours = not names or str(read_config(folder / CONFIG)["format"]).startswith("showtell")
    except (Problem, LookupError, TypeError):
        ours = False
    others = sorted(names - {*FILES, *GRAPHS, CLASSES})
    return f"{others[0]} in it is of no model" if others else "" if ours else "holds no model of showtell's"


def write(path: Path, content: bytes) -> None:
    """Writes a file of a folder, whole."""
    with written_whole(path) as file:
        file.write(content)


def load_folder(folder: Path) -> Artefact:
    """Reads a model folder onto the CPU. Nothing in it is executed.

    Raises:
        Problem: a file is missing, damaged or too large, they do not belong together, or a newer showtell wrote them.
    """
    if missing := [name for name in (CONFIG, WEIGHTS, WORDS) if not (folder / name).is_file()]:
        raise Problem(f"{folder} is no model folder, {missing[0]} is not in it: name a folder that showtell export wrote.")
    content = read_config(folder / CONFIG)
    check_format(content, folder / CONFIG)
    weights = _read_weights(folder / WEIGHTS)
    parts = {part: _part(weights, part) for part in ("encoder", "decoder")}
    if strangers := weights.keys() - {f"{part}.{name}" for part, tensors in parts.items() for name in tensors}:
        raise Problem(f"{folder / WEIGHTS} holds {min(strangers)}, which is of no model: get it from its maker again.")
    return artefact_of(content | {"vocabulary": load_vocab(folder / WORDS).to_dict()} | parts, folder)


def _part(weights: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{part}."): tensor for name, tensor in weights.items() if name.startswith(f"{part}.")}


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        check_header(path)
        return dict(safetensors.torch.load_file(path))
    except Exception as error:  # a broken or hostile file may raise anything
        raise Problem(f"{path} cannot be read as safetensors ({first_line(error)}): get it from its maker again.") from None
