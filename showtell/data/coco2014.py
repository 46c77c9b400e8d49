"""COCO 2014 from its server: three zip files, fetched piece by piece, checked, and unpacked.

The files are those of https://cocodataset.org/#download. COCO publishes no checksums; the MD5 sums of the pictures are those
that many public repositories repeat. The annotations are checked by the sums inside the zip file itself.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
import time
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tqdm import tqdm

from showtell.data.options import Coco2014Options
from showtell.errors import Problem, disk_sentences

TRIES = 5
"""Times in a row that the connection may break without a byte gained."""
PAUSE = 1.0
"""Seconds before going on where the connection broke; twice as many after each try in a row that gained nothing."""
_PIECE = 2**20


@dataclass(frozen=True)
class Part:
    """One zip file of the data set, and what of it is kept."""

    address: str
    """Below the base URL."""
    member: str
    """Regular expression of the names of the files to unpack, FOLDER/NAME: no other name reaches the disk."""
    number: int
    """How many files that are."""
    md5: str | None = None
    """Checksum of the zip file."""

    @property
    def name(self) -> str:
        return self.address.rsplit("/", 1)[-1]

    def unpacked(self, folder: Path) -> list[Path]:
        """Its files that are there already."""
        inside = folder / self.member.split("/", 1)[0]
        return [path for path in inside.glob("*") if self.keeps(f"{inside.name}/{path.name}")]

    def keeps(self, member: str) -> bool:
        return re.fullmatch(self.member, member, re.ASCII) is not None


PARTS = (
    Part("annotations/annotations_trainval2014.zip", r"annotations/captions_(train|val)2014\.json", 2),
    Part("zips/val2014.zip", r"val2014/COCO_val2014_\d{12}\.jpg", 40_504, "a3d79f5ed8d289b7a7554ce06a5782b3"),
    Part("zips/train2014.zip", r"train2014/COCO_train2014_\d{12}\.jpg", 82_783, "0da8c0bd3d6becc4dcb32757491aca88"),
)


def download(
    folder: Path, base_url: str = Coco2014Options.base_url, *, quiet: bool = False, parts: Sequence[Part] = PARTS
) -> None:
    """Bring COCO 2014 to `folder`: train2014/, val2014/ and annotations/captions_*2014.json.

    What is there already is skipped, and a download that was interrupted goes on where it stopped, by `NAME.zip.part` files,
    which go when their content is unpacked. A `NAME.zip` that lies in the folder is used, and stays.

    Raises:
        Problem: no network, no such file on the server, not enough room, or a file that arrived damaged (it is removed).
    """
    missing = [part for part in parts if len(part.unpacked(folder)) < part.number]
    with (
        httpx.Client(timeout=30, follow_redirects=True, headers={"Accept-Encoding": "identity"}) as client,
        disk_sentences(folder),
    ):
        folder.mkdir(parents=True, exist_ok=True)
        wanted = [part for part in missing if not (folder / part.name).is_file()]
        _check_room(folder, {part: _size(client, _url(base_url, part)) for part in wanted})
        for part in missing:
            archive = folder / part.name
            if part in wanted:
                archive = folder / f"{part.name}.part"
                _fetch(client, _url(base_url, part), archive, quiet)
            _check_sum(archive, part, quiet)
            _unpack(archive, part, folder, quiet)
            if part in wanted:
                archive.unlink()


def _url(base_url: str, part: Part) -> str:
    return f"{base_url.rstrip('/')}/{part.address}"


def _check_room(folder: Path, sizes: dict[Part, int]) -> None:
    """Zip files go one by one, and their contents are as large as they are: all contents and the largest zip must fit."""
    fetched = [path for part in sizes if (path := folder / f"{part.name}.part").is_file()]
    here = sum(path.stat().st_size for path in [*fetched, *(path for part in sizes for path in part.unpacked(folder))])
    needed = sum(sizes.values()) + max(sizes.values(), default=0) - here
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise Problem(
            f"The disk of {folder} has {free / 1e9:.1f} GB free, and this needs {needed / 1e9:.1f} GB; "
            "make room, or name a folder on another disk with --data."
        )


def _bar(what: str, total: int | None, quiet: bool, done: int = 0) -> tqdm[Any]:
    return tqdm(desc=what, total=total, initial=done, unit="B", unit_scale=True, file=sys.stderr, disable=quiet)


# ------------------------------------------------------------------------------------------------------------ fetching


def _size(client: httpx.Client, url: str) -> int:
    """Bytes of the file on the server; 0 where it does not tell."""
    try:
        response = client.head(url)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _unreachable(url, error) from error
    return 0 if response.is_error else int(response.headers.get("Content-Length", 0))


def _fetch(client: httpx.Client, url: str, path: Path, quiet: bool) -> None:
    """Bring the file to `path`, going on where an earlier try left it."""
    failures = 0
    while True:
        before = path.stat().st_size if path.exists() else 0
        try:
            return _fetch_rest(client, url, path, before, quiet)
        except httpx.HTTPError as error:
            gained = path.exists() and path.stat().st_size > before
            failures = 0 if gained else failures + 1
            if failures == TRIES:
                raise _unreachable(url, error) from error
            time.sleep(PAUSE * 2**failures)


def _fetch_rest(client: httpx.Client, url: str, path: Path, before: int, quiet: bool) -> None:
    """Append what is missing after `before` bytes; start anew where the server cannot give a range."""
    with client.stream("GET", url, headers={"Range": f"bytes={before}-"} if before else {}) as response:
        if before and response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            if response.headers.get("Content-Range") == f"bytes */{before}":
                return  # nothing is missing
            path.unlink()
            raise httpx.ReadError("there was more of the file than the server has")
        if response.is_server_error:
            raise httpx.ReadError(f"the server answered {response.status_code}")
        if response.is_error:
            raise _refused(url, response)
        goes_on = response.headers.get("Content-Range", "").startswith(f"bytes {before}-")
        length = response.headers.get("Content-Length")
        start = before if goes_on else 0
        with path.open("ab" if goes_on else "wb") as file, _bar(path.stem, length and start + int(length), quiet, start) as bar:
            for piece in response.iter_raw():  # as it comes: larger pieces would be lost when it breaks off
                file.write(piece)
                bar.update(len(piece))


def _unreachable(url: str, error: Exception) -> Problem:
    why = str(error) or type(error).__name__
    return Problem(f"{url} cannot be fetched ({why}); check the network and run this again: it goes on where it stopped.")


def _refused(url: str, response: httpx.Response) -> Problem:
    answer = f"{response.status_code} {response.reason_phrase}"
    return Problem(f"{url} cannot be fetched (the server answered {answer}); name a mirror with --base_url.")


# --------------------------------------------------------------------------------------------------------------- files


def _check_sum(archive: Path, part: Part, quiet: bool) -> None:
    if part.md5 is None:
        return
    digest = hashlib.md5(usedforsecurity=False)
    with archive.open("rb") as file, _bar(f"checking {part.name}", archive.stat().st_size, quiet) as bar:
        while piece := file.read(_PIECE):
            digest.update(piece)
            bar.update(len(piece))
    if digest.hexdigest() != part.md5:
        raise _damaged(archive, f"its MD5 is {digest.hexdigest()}, not {part.md5}")


def _unpack(archive: Path, part: Part, folder: Path, quiet: bool) -> None:
    """Unpack the part's files into `folder`; each takes its name when it is whole, and what has its size is skipped."""
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if part.keeps(member.filename)]
            if len(members) < part.number:
                raise zipfile.BadZipFile(f"it holds {len(members)} of {part.number} files")
            with _bar(f"unpacking {part.name}", sum(member.file_size for member in members), quiet) as bar:
                for member in members:
                    _unpack_one(opened, member, folder / member.filename)
                    bar.update(member.file_size)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise _damaged(archive, str(error)) from error


def _unpack_one(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    # Not files.written_whole: a sync for each of 120,000 pictures takes hours, and the size tells a file that was cut.
    if path.is_file() and path.stat().st_size == member.file_size:
        return
    path.parent.mkdir(exist_ok=True)
    whole_later = path.with_name(f".{path.name}.part")
    with archive.open(member) as source, whole_later.open("wb") as target:
        shutil.copyfileobj(source, target, _PIECE)  # zipfile checks the file's own sum at its end
    whole_later.replace(path)


def _damaged(archive: Path, why: str) -> Problem:
    """The sentence for a damaged file; one that was downloaded is removed, one that lay there is left."""
    if archive.suffix == ".part":
        archive.unlink()
        return Problem(f"{archive.stem} arrived damaged ({why}) and was removed; run this again to fetch it anew.")
    return Problem(f"{archive} is damaged ({why}); remove it and run this again to fetch it anew.")
