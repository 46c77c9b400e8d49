"""The download against servers on this machine that break off, know no ranges, lie, or are not there."""

from __future__ import annotations

import errno
import hashlib
import io
import re
import shutil
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest

from showtell.data import coco2014
from showtell.data.coco2014 import PARTS, Part, download
from showtell.data.options import Coco2014Options
from showtell.errors import Problem

PICTURES = {f"val2014/COCO_val2014_{n:012d}.jpg": bytes([n]) * 60_000 for n in range(3)}
CAPTIONS = {f"annotations/captions_{split}2014.json": b"{}" * 100 for split in ("train", "val")}
OTHERS = {
    "annotations/instances_val2014.json": b"not wanted",
    "val2014/../../evil.jpg": b"evil",
    "/evil.jpg": b"evil",
    "val2014/..\\evil.jpg": b"evil",
    "../evil.jpg": b"evil",
}


def zipped(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


VAL_ZIP = zipped(PICTURES | OTHERS)
FILES = {"/annotations/captions.zip": zipped(CAPTIONS | OTHERS), "/zips/val2014.zip": VAL_ZIP}
SMALL_PARTS = (
    Part("annotations/captions.zip", r"annotations/captions_(train|val)2014\.json", 2),
    Part("zips/val2014.zip", r"val2014/COCO_val2014_\d{12}\.jpg", 3, hashlib.md5(VAL_ZIP).hexdigest()),
)


class Server:
    """Serves `files`; how badly is set by its attributes. `requests` are the ranges asked for, by path."""

    def __init__(self) -> None:
        self.files = dict(FILES)
        self.requests: list[tuple[str, str | None]] = []
        self.breaks_after: int | None = None
        """Bytes of one answer after which the connection breaks off."""
        self.knows_ranges = True
        self.errors: list[int] = []
        """Statuses to answer with before it works."""
        self.url = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        self.requests.append((handler.path, wanted))
        content = self.files.get(handler.path)
        if self.errors or content is None:
            handler.send_error(self.errors.pop() if self.errors else 404)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.knows_ranges else 0
        if start >= len(content):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(content)}")
            handler.end_headers()
            return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        handler.wfile.write(content[start:][: self.breaks_after])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(coco2014, "PAUSE", 0)
    monkeypatch.setenv("NO_PROXY", "*")
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.answer(self)

        def do_HEAD(self) -> None:
            content = state.files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.url = f"http://127.0.0.1:{running.server_address[1]}"
        yield state
        running.shutdown()
        thread.join()


def fetch(server: Server, folder: Path) -> None:
    download(folder, server.url, quiet=True, parts=SMALL_PARTS)


def refused(server: Server, folder: Path) -> str:
    with pytest.raises(Problem) as problem:
        fetch(server, folder)
    assert "\n" not in str(problem.value)
    return str(problem.value)


def found(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_everything_wanted_arrives_and_nothing_else(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "data/coco2014"
    fetch(server, folder)
    assert found(tmp_path) == {f"data/coco2014/{name}": content for name, content in (PICTURES | CAPTIONS).items()}


def test_what_is_there_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    fetch(server, tmp_path)
    server.requests.clear()
    fetch(server, tmp_path)
    assert server.requests == []
    (tmp_path / next(iter(PICTURES))).unlink()
    fetch(server, tmp_path)
    assert {path for path, _ in server.requests} == {"/zips/val2014.zip"}
    assert found(tmp_path) == PICTURES | CAPTIONS


def test_a_connection_that_breaks_off_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.breaks_after = 50_000
    fetch(server, tmp_path)
    assert found(tmp_path) == PICTURES | CAPTIONS
    ranges = [wanted for path, wanted in server.requests if path == "/zips/val2014.zip"]
    assert ranges == [None, "bytes=50000-", "bytes=100000-", "bytes=150000-"]


def test_a_later_run_goes_on_where_an_earlier_one_stopped(server: Server, tmp_path: Path) -> None:
    (tmp_path / "val2014.zip.part").write_bytes(VAL_ZIP[:70_000])
    fetch(server, tmp_path)
    assert ("/zips/val2014.zip", "bytes=70000-") in server.requests
    assert found(tmp_path) == PICTURES | CAPTIONS


def test_a_complete_file_only_has_to_be_unpacked(server: Server, tmp_path: Path) -> None:
    (tmp_path / "val2014.zip.part").write_bytes(VAL_ZIP)
    first, second, _ = PICTURES
    (tmp_path / "val2014").mkdir()
    (tmp_path / first).write_bytes(PICTURES[first])
    (tmp_path / second).write_bytes(PICTURES[second][:100])  # cut when the machine went down
    fetch(server, tmp_path)
    assert found(tmp_path) == PICTURES | CAPTIONS


def test_more_than_the_server_has_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "val2014.zip.part").write_bytes(VAL_ZIP + b"more")
    fetch(server, tmp_path)
    assert found(tmp_path) == PICTURES | CAPTIONS


def test_a_server_that_ignores_ranges(server: Server, tmp_path: Path) -> None:
    server.knows_ranges = False
    (tmp_path / "val2014.zip.part").write_bytes(b"x" * 70_000)
    fetch(server, tmp_path)
    assert found(tmp_path) == PICTURES | CAPTIONS


def test_breaking_off_without_ranges_ends_in_a_sentence(server: Server, tmp_path: Path) -> None:
    server.knows_ranges, server.breaks_after = False, 50_000
    sentence = refused(server, tmp_path)
    assert "val2014.zip cannot be fetched" in sentence and "it goes on where it stopped" in sentence
    assert len([path for path, _ in server.requests if path == "/zips/val2014.zip"]) == 1 + coco2014.TRIES


def test_a_server_that_recovers(server: Server, tmp_path: Path) -> None:
    server.errors = [503, 500]
    fetch(server, tmp_path)
    assert found(tmp_path) == PICTURES | CAPTIONS


def test_a_server_without_the_file(server: Server, tmp_path: Path) -> None:
    del server.files["/zips/val2014.zip"]
    assert "(the server answered 404 Not Found); name a mirror with --base_url" in refused(server, tmp_path)


def test_no_network(server: Server, tmp_path: Path) -> None:
    server.url = "http://127.0.0.1:9"
    assert "cannot be fetched" in refused(server, tmp_path)
    server.url = "http://no-such-host.invalid"
    assert "check the network" in refused(server, tmp_path)


def test_pictures_with_another_checksum_are_removed(server: Server, tmp_path: Path) -> None:
    server.files["/zips/val2014.zip"] = VAL_ZIP.replace(b"\x01" * 10, b"\x02" * 10, 1)
    assert re.search("val2014.zip arrived damaged .its MD5 is .*removed; run this again", refused(server, tmp_path))
    assert found(tmp_path) == CAPTIONS


def test_annotations_are_checked_by_the_zips_own_sums(server: Server, tmp_path: Path) -> None:
    good = server.files["/annotations/captions.zip"]
    server.files["/annotations/captions.zip"] = good.replace(b"{}{}", b"{}[]", 1)
    assert "captions.zip arrived damaged (Bad CRC-32" in refused(server, tmp_path)
    assert [path for path in found(tmp_path) if not path.endswith(".json.part")] == []
    server.files["/annotations/captions.zip"] = good[:-30]
    assert "captions.zip arrived damaged (File is not a zip file" in refused(server, tmp_path)
    server.files["/annotations/captions.zip"] = zipped(OTHERS)
    assert "it holds 0 of 2 files" in refused(server, tmp_path)


def test_a_zip_of_the_users_own_is_used_and_stays(server: Server, tmp_path: Path) -> None:
    (tmp_path / "val2014.zip").write_bytes(VAL_ZIP)
    fetch(server, tmp_path)
    assert {path for path, _ in server.requests} == {"/annotations/captions.zip"}
    assert found(tmp_path) == PICTURES | CAPTIONS | {"val2014.zip": VAL_ZIP}
    shutil.rmtree(tmp_path / "val2014")
    (tmp_path / "val2014.zip").write_bytes(VAL_ZIP[:-1])
    assert "remove it and run this again" in refused(server, tmp_path)
    assert (tmp_path / "val2014.zip").is_file()


def test_room_is_looked_at_before_anything_is_fetched(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=300_000))
    sentence = refused(server, tmp_path)
    assert "0.0 GB free, and this needs 0.0 GB; make room" in sentence
    assert server.requests == []


def test_a_full_disk(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    assert f"{tmp_path} cannot be written (No space left on device): make room, then run this again" in refused(server, tmp_path)


def test_progress_goes_to_standard_error(server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    download(tmp_path, server.url, parts=SMALL_PARTS)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert all(what in shown.err for what in ("val2014.zip: 100%", "checking val2014.zip: 100%", "unpacking val2014.zip: 100%"))
    shutil.rmtree(tmp_path / "val2014")
    fetch(server, tmp_path)
    assert capfd.readouterr().err == ""


def test_what_is_fetched_by_default() -> None:
    assert sum(part.number for part in PARTS[1:]) == 82_783 + 40_504
    assert all(Coco2014Options().base_url.startswith("http") and part.address.endswith(".zip") for part in PARTS)
    assert Coco2014Options().problems() == [] and len(Coco2014Options(base_url="ftp://x").problems()) == 1
