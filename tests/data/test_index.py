"""An index gives what reading would, and never something older or else."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from showtell.data import index as module
from showtell.data.formats import Row
from showtell.data.index import indexed

ROWS: list[Row] = [
    (7, "a.jpg", "train", ("A dog", "Zwei Hunde,\nnass")),
    ('"b', "b.jpg", None, ()),
    ("12", "c\td.jpg", None, ("一只狗",)),
]
ANY_ROW = st.tuples(
    st.integers() | st.text(), st.text(), st.none() | st.text(min_size=1), st.lists(st.text(min_size=1)).map(tuple)
)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "SMALLEST", 10)
    path = tmp_path / "captions.json"
    path.write_text("long enough for an index")
    return path


class Reader:
    """Counts how often the file itself is read."""

    def __init__(self, rows: list[Row] = ROWS) -> None:
        self.rows, self.times = rows, 0

    def __call__(self) -> list[Row]:
        self.times += 1
        return self.rows


def test_the_second_reading_comes_from_the_index(file: Path) -> None:
    read = Reader()
    assert indexed(file, ("coco",), read) == indexed(file, ("coco",), read) == ROWS
    assert read.times == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(rows=st.lists(ANY_ROW))
def test_any_rows_come_back_as_they_were(rows: list[Row], file: Path) -> None:
    how = (str(hash(str(rows))),)
    assert indexed(file, how, Reader(rows)) == indexed(file, how, Reader(rows)) == rows


def test_another_way_to_read_is_another_index(file: Path) -> None:
    read = Reader()
    indexed(file, ("table", "caption"), read)
    indexed(file, ("table", "comment"), read)
    assert read.times == 2


def change_size(file: Path) -> None:
    file.write_text("another text of another length")


def change_time(file: Path) -> None:
    os.utime(file, ns=(1, file.stat().st_mtime_ns + 1))


def change_index(file: Path) -> None:
    index = the_index()
    index.write_bytes(index.read_bytes().replace(b"dog", b"cat"))


def cut_index(file: Path) -> None:
    index = the_index()
    index.write_bytes(index.read_bytes()[:-1])


def empty_index(file: Path) -> None:
    the_index().write_bytes(b"")


def older_version(file: Path) -> None:
    index = the_index()
    head, _, body = index.read_bytes().partition(b"\n")
    index.write_bytes(json.dumps([module.VERSION - 1, *json.loads(head)[1:]]).encode() + b"\n" + body)


def other_columns(file: Path) -> None:
    index = the_index()
    head, _, body = index.read_bytes().partition(b"\n")
    body = body.replace(module._CELL.encode(), b"", 1)
    index.write_bytes(json.dumps([*json.loads(head)[:-1], zlib.crc32(body)]).encode() + b"\n" + body)


def the_index() -> Path:
    [path] = (module.cache_folder() / "indexes").iterdir()
    return path


@pytest.mark.parametrize("change", [change_size, change_time, change_index, cut_index, empty_index, older_version, other_columns])
def test_what_changed_is_read_anew(change, file: Path) -> None:
    read = Reader()
    indexed(file, (), read)
    change(file)
    assert indexed(file, (), read) == ROWS
    assert read.times == 2
    assert indexed(file, (), read) == ROWS
    assert read.times == 2


def test_small_files_leave_no_index(file: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SMALLEST", 10_000)
    assert indexed(file, (), Reader()) == ROWS
    assert list(own_cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_done_without(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "no folder").write_text("")
    monkeypatch.setenv("SHOWTELL_CACHE", str(tmp_path / "no folder"))
    assert indexed(file, (), Reader()) == ROWS


def test_separators_in_captions_are_kept(file: Path) -> None:
    rows: list[Row] = [(1, "a.jpg", None, ("A\x1fdog", "\x1e", "\x1d"))]
    assert indexed(file, (), Reader(rows)) == indexed(file, (), Reader(rows)) == rows
