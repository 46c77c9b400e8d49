"""A model by its name: the box, a file, a folder, or a repository of the Hugging Face Hub, fetched into the Hub's own cache.

The Hub is reached through `huggingface_hub`, which comes with Accelerate. Tried against a local stand-in for the Hub only.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import showtell
from showtell.errors import Problem, WrongUse, first_line, missing_extra
from showtell.model.config import CLASSES, CONFIG, FILES, GRAPHS

if TYPE_CHECKING:
    from showtell.model.artefact import Artefact

REPOSITORY = re.compile(r"[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*")
"""owner/name, as the Hub has it."""

BOX = "box"
"""The name of the captioner that comes with showtell; it wins over what lies in the current folder under that name."""
BOX_FOLDER = Path(showtell.__file__).parent / "box"
"""encoder.onnx with its classes, and for each language a folder of what else an exported model has."""


def is_box(name: str | Path) -> bool:
    """Whether that is the box, or languages of it: `box`, `box/en`, `box/en,de`."""
    parts = Path(name).parts
    return parts[:1] == (BOX,) and len(parts) <= 2


def box_languages() -> list[str]:
    """What the box speaks, by folder."""
    return sorted(path.parent.name for path in BOX_FOLDER.glob(f"*/{CONFIG}"))


def find_in_box(name: str | Path) -> dict[str, Path]:
    """The folders of the box's languages that the name asks for, in its order: `box` is English, `box/de,en` two languages.

    Raises:
        WrongUse: the box does not speak one of them.
    """
    languages = [language.strip() for language in [*Path(name).parts, "en"][1].split(",")]
    for language in languages:
        if language not in box_languages():
            spoken = f"it speaks {', '.join(box_languages())}" if box_languages() else "this copy of showtell came without it"
            raise WrongUse(f"the box does not speak {language or 'nothing'}: {spoken}; name another model with --model.")
    return {language: BOX_FOLDER / language for language in languages}


def find_model(name: str | Path) -> Path:
    """The file or folder of a model; a repository of the Hub's is fetched first, or taken from the cache where it is there.

    Raises:
        Problem: there is no such thing, or the Hub cannot be reached.
        WrongUse: the box does not speak that language, or several were named.
    """
    if is_box(name):
        folder, *more = find_in_box(name).values()
        if more:
            raise WrongUse(f"{Path(name).as_posix()} is several models: name one language of the box.")
        return folder
    path = Path(name)
    if path.is_file() or path.is_dir():  # nobody waits for a pipe
        return path
    repository = path.as_posix()
    if not REPOSITORY.fullmatch(repository) or path.suffix in (".pt", ".pth"):
        raise Problem(f"there is no model at {path}: train one (showtell train), or name another; box comes with showtell.")
    try:
        from huggingface_hub import snapshot_download
    except ModuleNotFoundError:
        raise missing_extra("The Hugging Face Hub", "train") from None
    try:
        return Path(snapshot_download(repository, allow_patterns=[*FILES, *GRAPHS, CLASSES]))
    except Exception as error:  # of its own kinds, of its HTTP library's, of the disk
        raise Problem(
            f"there is no model at {path}, and none of that name could be fetched from the Hugging Face Hub "
            f"({first_line(error)}): see that the name is right and the network is there."
        ) from None


def is_exported(path: Path) -> bool:
    """Whether it is a folder of an exported model, which runs without torch; that it is whole is another question."""
    return any((path / name).is_file() for name in GRAPHS)


def load_model(name: str | Path) -> Artefact:
    """The model of that name (see `find_model`), read onto the CPU. Nothing in it is executed.

    Raises:
        Problem: there is none, it is damaged, or it comes from a newer showtell.
        WrongUse: it was exported to ONNX, and does not tell where its weights lie (the box does).
    """
    from showtell.model.artefact import load_artefact
    from showtell.model.folder import load_folder

    path = find_model(name)
    if is_exported(path):
        from showtell.model.regained import regain

        return regain(path)
    return load_folder(path) if path.is_dir() else load_artefact(path)


def push_folder(folder: Path, repository: str, *, private: bool = False, token: str | None = None) -> str:
    """Sends a model folder to the Hub, making the repository `owner/name` where it is not there; returns its address.

    Args:
        token: of the account; by default the one that `hf auth login` or the variable HF_TOKEN left.

    Raises:
        Problem: the Hub refuses it or cannot be reached.
    """
    if not REPOSITORY.fullmatch(repository):
        raise Problem(f"{repository} is no name of a repository: give OWNER/NAME.")
    try:
        from huggingface_hub import HfApi
    except ModuleNotFoundError:
        raise missing_extra("The Hugging Face Hub", "train") from None
    try:
        api = HfApi(token=token)
        address = api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, allow_patterns=list(FILES), commit_message="A showtell model")
    except Exception as error:  # of its own kinds, of its HTTP library's, of the disk
        raise Problem(
            f"{folder} could not be sent to {repository} on the Hugging Face Hub ({first_line(error)}): log in with "
            "`hf auth login`, and see that the repository is yours."
        ) from None
    return str(address)
