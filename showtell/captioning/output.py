"""The file of captions: it grows a batch at a time, survives being killed, and the next run goes on with it.

Records are only ever appended. A line that was cut off is dropped when the file is opened again. A picture that could not be
read is tried again; while it fails for the same reason, its line stays as it is, else a new line follows, and the old one is
removed, by writing the file anew, when the run ends.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from tqdm import tqdm

from showtell.captioning.formats import CocoResults, Csv, Format, JsonLines, read_image_ids
from showtell.captioning.options import CaptioningOptions
from showtell.captioning.provenance import Provenance, check_provenance, folder_of, provenance, provenance_path, save_provenance
from showtell.captioning.records import Record
from showtell.errors import WrongUse, disk_sentences, printable
from showtell.files import locked, written_whole
from showtell.search import SearchOptions


class NoOutput:
    """Captions go to the screen only. The face of all outputs; used as a context, it is closed whatever happens."""

    def refusal(self, image: str) -> str | None:
        """Why the picture cannot stand in this output, as a sentence; None if it can."""
        return None

    def holds(self, image: str) -> bool:
        """Whether the picture's caption is there already."""
        return False

    def begin(self) -> None:
        """From here on the disk is written to."""

    def write(self, records: Iterable[Record]) -> None:
        """Append the records of a batch; those of pictures that it holds already are left out."""

    def finish(self) -> None:
        """Close and tidy, after the last record."""

    def close(self) -> None:
        """Close: what was written is safe."""

    def __enter__(self) -> NoOutput:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Output(NoOutput):
    """A file of records.

    Args:
        path: the file; where it is there, it is read for what it holds, but not changed before `begin()`.
        form: how records stand in it.
        made_with: what captions are made with now.
        overwrite: replace what is there.
        quiet: show no progress bar where reading takes long.

    Raises:
        WrongUse: it holds something else, or was made with other settings.
        Problem: it cannot be read.
    """

    def __init__(self, path: Path, form: Format, made_with: Provenance, *, overwrite: bool = False, quiet: bool = False) -> None:
        self.path, self.form, self.made_with, self.overwrite, self.quiet = path, form, made_with, overwrite, quiet
        self._captioned: set[Hashable] = set()
        self._errors: dict[Hashable, str] = {}  # of pictures that could not be read, the last line's
        self._outdated = False  # whether it has lines that a later one replaces
        self._whole = 0  # bytes: up to what was cut off
        self._file: Any = None
        with disk_sentences(path, "read"):
            self._found = self._state()
        if not overwrite and any(self._found):
            check_provenance(made_with, path)
            with disk_sentences(path, "read"):
                self._read()

    def _files(self) -> tuple[Path, ...]:
        """Where records may lie, the growing file first."""
        return (self.path,)

    def _state(self) -> list[tuple[int, int] | None]:
        """Which files there are, and how long, to see later whether somebody else was at them; an empty file is nothing."""
        there = (file.stat() if file.exists() else None for file in self._files())
        return [(file.st_ino, file.st_size) if file and file.st_size else None for file in there]

    def _read(self) -> None:
        self._whole = self._read_lines(self._files()[0])

    def _read_lines(self, path: Path) -> int:
        """Notes what a growing file holds; gives the length of what is whole."""
        if not path.exists():
            return 0
        with path.open("rb") as file, self._reading(path) as bar:
            header = file.read(len(self.form.header))
            if header != self.form.header:
                if not self.form.header.startswith(header):
                    self._refuse(path, 1)
                return 0
            whole = len(header)
            for number, line in enumerate(self.form.lines(file), start=1 + bool(header)):
                try:
                    self._note(*self.form.decode(line))
                except (ValueError, KeyError, TypeError, RecursionError):
                    self._refuse(path, number)
                whole += len(line)
                bar.update(len(line))
        return whole

    def _reading(self, path: Path) -> tqdm[Any]:
        size = path.stat().st_size
        return tqdm(total=size, desc=f"reading {path.name}", unit="B", unit_scale=True, delay=2, disable=self.quiet)

    def _refuse(self, path: Path, record: int) -> NoReturn:
        raise WrongUse(
            f"{path} holds something else than captions of showtell (record {record}): name another output, or replace it "
            "with --overwrite."
        )

    def _note(self, key: Hashable, error: str | None) -> None:
        self._outdated |= key in self._errors
        if error is None:
            self._errors.pop(key, None)
            self._captioned.add(key)
        else:
            self._errors[key] = error

    def refusal(self, image: str) -> str | None:
        return self.form.refusal(image)

    def holds(self, image: str) -> bool:
        return self.form.key(image) in self._captioned

    def begin(self) -> None:
        """From here on the disk is written to: what is to be overwritten goes, what was cut off too.

        Raises:
            Problem: the file cannot be written.
            WrongUse: another process writes to it, or has since it was read.
        """
        growing, *finished = self._files()
        with disk_sentences(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = growing.open("ab", buffering=0)
            if not locked(self._file, growing) or (not self.overwrite and self._state() != self._found):
                raise WrongUse(f"{growing} is being written to by somebody else: wait for that, then run this again.")
            if self.overwrite or not any(self._found):
                provenance_path(self.path).unlink(missing_ok=True)  # first: no captions ever stand beside others' settings
                self._file.truncate(0)
                for file in finished:
                    Path(os.path.realpath(file)).unlink(missing_ok=True)
                save_provenance(self.made_with, self.path)
            else:
                self._file.truncate(self._whole)
            if self._whole == 0:
                self._append(self.form.header)

    def write(self, records: Iterable[Record]) -> None:
        """Append the records of a batch; those that it holds already are left out.

        Raises:
            Problem: the disk is full.
        """
        lines = []
        for record in records:
            key, error = self.form.key(record["image"]), record.get("error")
            if key not in self._captioned and (error is None or self._errors.get(key) != error):
                lines.append(self.form.encode(record))
                self._note(key, error)
        with disk_sentences(self.path):
            self._append(b"".join(lines))

    def _append(self, data: bytes) -> None:
        """In one piece, as far as the system does so: a batch is there or not, even if the program is killed meanwhile."""
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]

    def finish(self) -> None:
        """Close, and write the file anew where lines of it are outdated.

        Raises:
            Problem: the disk is full.
        """
        with disk_sentences(self.path):
            if self._file:
                os.fsync(self._file.fileno())
            if self._outdated:
                self._before_replacing()
                with written_whole(self.path) as new:
                    new.write(self.form.header)
                    new.writelines(self._current_lines())
            self.close()

    def _before_replacing(self) -> None:
        """The file is this process's, and stays so until another has its place; but Windows replaces no open file."""
        if self._file is None:  # nothing was missing
            self.begin()
        if os.name == "nt":
            self.close()

    def _current_lines(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            file.seek(len(self.form.header))
            for line in self.form.lines(file):
                key, error = self.form.decode(line)
                if error is None or self._errors.get(key) == error:
                    yield line

    def close(self) -> None:
        if self._file:
            self._file.close()
        self._file = None


class CocoOutput(Output):
    """One JSON array cannot be appended to: results grow as lines in NAME.json.part; NAME.json is written whole at the end."""

    def _files(self) -> tuple[Path, ...]:
        return self.path.with_name(f"{self.path.name}.part"), self.path

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        self._images: dict[Hashable, str] = {}
        super().__init__(*arguments, **keywords)

    def refusal(self, image: str) -> str | None:
        if refusal := super().refusal(image):
            return refusal
        image_id = self.form.key(image)
        other = self._images.setdefault(image_id, image)
        if other != image:
            return f"{printable(image)} has the same image_id, {image_id}, as {printable(other)}: leave one of them out."
        return None

    def _read(self) -> None:
        for line in self._finished_lines():
            try:
                self._note(*self.form.decode(line))
            except (ValueError, KeyError, TypeError, RecursionError):
                self._refuse(self.path, 1)
        super()._read()

    def finish(self) -> None:
        part = self._files()[0]
        with disk_sentences(self.path):
            if part.exists() and (self._file is not None or not self.overwrite):  # else nothing came to replace what is there
                self._before_replacing()
                with written_whole(self.path) as file:
                    comma = b"[\n"
                    for line in self._all_lines(part):
                        file.write(comma + line)
                        comma = b",\n"
                    file.write(b"\n]\n" if comma == b",\n" else b"[]\n")
                part.unlink()
            self.close()

    def _all_lines(self, part: Path) -> Iterator[bytes]:
        """The results in both files, each image_id once: a run may be killed after writing the one, before removing the other."""
        seen = set()
        with part.open("rb") as file:
            for line in chain(self._finished_lines(), map(bytes.rstrip, self.form.lines(file))):
                key = self.form.decode(line).key
                if key not in seen:
                    yield line
                seen.add(key)

    def _finished_lines(self) -> Iterator[bytes]:
        """The results in NAME.json, without holding them all: they stand one a line."""
        if self.path.exists():
            with self.path.open("rb") as file:
                for line in file:
                    if line.strip() not in (b"[", b"]", b"[]"):
                        yield line.strip().removesuffix(b",")


def output_for(options: CaptioningOptions, search: SearchOptions) -> NoOutput:
    """The output that the options name, by its suffix, read for what it holds.

    Raises:
        WrongUse: as `Output`.
        Problem: as `Output`; or the annotations cannot be read.
    """
    if options.output is None:
        return NoOutput()
    assert options.model is not None
    made_with = provenance(options.model, search, options.annotations)
    how = {"overwrite": options.overwrite, "quiet": options.quiet}
    if options.output.suffix == ".json":
        image_ids = read_image_ids(options.annotations) if options.annotations else None
        return CocoOutput(options.output, CocoResults(image_ids), made_with, **how)
    goes_on = not options.overwrite and options.output.exists() and options.output.stat().st_size
    folder = folder_of(options.output) if goes_on else Path.cwd()
    form = Csv(folder) if options.output.suffix == ".csv" else JsonLines(folder)
    return Output(options.output, form, made_with, **how)
