"""What captions were made with, kept beside them, so that one file never mixes two models or two ways of searching."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import showtell
from showtell.errors import Problem, WrongUse, disk_sentences
from showtell.files import as_utf8, written_whole
from showtell.model.hub import find_in_box, find_model, is_box
from showtell.search import SearchOptions

Provenance = dict[str, Any]
"""Plain data: the model's name and checksum, the search options, the annotations' checksum where image ids come from them, and
the folder where relative names begin."""


def provenance(model: Path, search: SearchOptions, annotations: Path | None) -> Provenance:
    """What captions are made with now."""
    return {
        "showtell": showtell.__version__,
        "model": {"name": model.name, "sha256": _sha256_of_model(model)},
        "search": json.loads(json.dumps(asdict(search))),
        "annotations": annotations and {"name": annotations.name, "sha256": _sha256(annotations)},
        "folder": str(Path.cwd()),
    }


def provenance_path(output: Path) -> Path:
    """Where it is kept: `captions.jsonl.settings.json` beside `captions.jsonl`."""
    return output.with_name(f"{output.name}.settings.json")


def save_provenance(now: Provenance, output: Path) -> None:
    """Keep it beside the output, written whole."""
    with written_whole(provenance_path(output)) as file:
        file.write(as_utf8(json.dumps(now, indent=2, ensure_ascii=False) + "\n"))


def load_provenance(output: Path) -> Provenance | None:
    """What an output file was made with; None if nobody knows."""
    try:
        made_with = json.loads(provenance_path(output).read_bytes())
        _differences(made_with, made_with)  # fails where something is missing or of another kind
        return cast(Provenance, made_with | {"search": asdict(SearchOptions()) | made_with["search"]})
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def folder_of(output: Path) -> str:
    """Where the relative names in an output file begin: the folder where it was begun, this one if that is not known or gone."""
    then = load_provenance(output) or {}
    folder = str(then.get("folder", ""))
    return folder if folder and Path(folder).is_dir() else str(Path.cwd())


def check_provenance(now: Provenance, output: Path) -> None:
    """See that an output file was made with the same as now.

    Raises:
        WrongUse: it was not, or nobody knows; the sentence names what differs.
    """
    path = provenance_path(output)
    try:
        then = json.loads(path.read_bytes())
        differences = _differences(then, now)
    except FileNotFoundError:
        raise WrongUse(
            f"{output} is there, but not {path.name}, which tells what made it: name another, or replace it by --overwrite."
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Problem(f"{path} is damaged: name another output, or replace both with --overwrite.") from error
    if differences:
        raise WrongUse(
            f"{output} was made with other settings ({'; '.join(differences)}): name another, or replace it by --overwrite."
        )


def _differences(then: Provenance, now: Provenance) -> list[str]:
    found = []
    for file in ("model", "annotations"):
        there, here = then[file] or {"name": "none"}, now[file] or {"name": "none"}
        if there.get("sha256") != here.get("sha256"):
            same_name = there["name"] == here["name"]
            found.append(f"{file}: {'another ' if same_name else ''}{there['name']} then, {here['name']} now")
    before = asdict(SearchOptions()) | then["search"]  # an option that is younger than the file had its default
    told = {name: (_told(before[name]), _told(value)) for name, value in now["search"].items() if before[name] != value}
    return found + [f"{name}: {there} then, {here} now" for name, (there, here) in told.items()]


def _told(value: Any) -> Any:
    return "the model's own" if value is None else value


def _sha256_of_model(model: Path) -> str:
    """Of a model's file or folder; of several languages of the box, of their checksums."""
    folders = [*find_in_box(model).values()] if is_box(model) else [find_model(model)]
    sums = [_sha256(folder) for folder in folders]
    return sums[0] if len(sums) == 1 else hashlib.sha256("\n".join(sums).encode()).hexdigest()


def _sha256(path: Path) -> str:
    """Of a file; of a model folder, of what `sha256sum` would print of the files in it."""
    with disk_sentences(path, "read"):
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.is_file())
            return hashlib.sha256("".join(f"{_sha256(file)}  {file.name}\n" for file in files).encode()).hexdigest()
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
