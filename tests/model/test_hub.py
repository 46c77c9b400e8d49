"""The Hugging Face Hub, as a stand-in on this machine that speaks as much of its protocol as is used here."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from showtell.errors import Problem
from showtell.model.hub import find_model, push_folder
from showtell.model.torch_captioner import TorchCaptioner

COMMIT = "0123456789" * 4


class StandIn(BaseHTTPRequestHandler):
    """Repositories in memory: made, filled by commits whose files come within them, listed and fetched."""

    repositories: dict[str, dict[str, bytes]]

    def log_message(self, *about: Any) -> None:
        """Keeps still."""

    def answer(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def answer_json(self, content: Any, status: int = 200) -> None:
        self.answer(status, json.dumps(content).encode(), Content_Type="application/json")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Authorization") != "Bearer secret":
            return self.answer_json({"error": "who are you?"}, 401)
        if self.path == "/api/repos/create":
            name = json.loads(body)
            repository = f"{name['organization']}/{name['name']}"
            self.repositories.setdefault(repository, {})
            return self.answer_json({"url": f"http://{self.headers['Host']}/{repository}"})
        repository = "/".join(self.path.split("/")[3:5])
        if "/preupload/" in self.path:
            files = json.loads(body)["files"]
            return self.answer_json(
                {"files": [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in files]}
            )
        if "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.repositories[repository][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            url = f"http://{self.headers['Host']}/{repository}/commit/{COMMIT}"
            return self.answer_json({"success": True, "commitOid": COMMIT, "commitUrl": url})
        return self.answer_json({}, 200)

    def do_GET(self) -> None:
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"] and "/".join(parts[2:4]) in self.repositories:
            name = "/".join(parts[2:4])
            siblings = [{"rfilename": file} for file in self.repositories[name]]
            if "tree" in parts:
                found = self.repositories[name].items()
                return self.answer_json(
                    [{"type": "file", "path": file, "size": len(content), "oid": "0" * 40} for file, content in found]
                )
            return self.answer_json({"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings, "tags": []})
        content = self.repositories.get("/".join(parts[:2]), {}).get("/".join(parts[4:]))
        if parts[2:3] != ["resolve"] or content is None:
            return self.answer(404, b"", X_Error_Code="RepoNotFound")
        tag = f'"{hashlib.sha1(content).hexdigest()}"'
        return self.answer(200, content, ETag=tag, X_Repo_Commit=COMMIT, Content_Type="application/octet-stream")

    do_HEAD = do_GET


@pytest.fixture
def hub() -> Iterator[tuple[str, dict[str, dict[str, bytes]]]]:
    """The stand-in's address, and its repositories."""
    repositories: dict[str, dict[str, bytes]] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (StandIn,), {"repositories": repositories}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", repositories
    server.shutdown()
    thread.join()
    server.server_close()


def python(code: str, *arguments: str, endpoint: str, home: Path, token: str = "") -> subprocess.CompletedProcess[str]:
    """In a process of its own: huggingface_hub reads the address when it is imported."""
    environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": token}
    environment |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment, cwd=home)


PUSH = "import sys; from showtell import Captioner; c = Captioner.from_pretrained(sys.argv[1], 'cpu')\n"
PUSH += "print(c.push_to_hub('somebody/scenes', token=sys.argv[2]))"
PULL = "import sys; from showtell import Captioner; c = Captioner.from_pretrained(sys.argv[1], 'cpu')\n"
PULL += "print(c.caption(sys.argv[2]).text)"


def test_a_model_goes_to_the_hub_and_comes_back(captioner: TorchCaptioner, hub: Any, pictures: list[Any], tmp_path: Path) -> None:
    endpoint, repositories = hub
    captioner.save_pretrained(tmp_path / "scenes")
    pictures[0].save(tmp_path / "photo.png")
    pushed = python(PUSH, str(tmp_path / "scenes"), "secret", endpoint=endpoint, home=tmp_path)
    assert pushed.stdout == f"{endpoint}/somebody/scenes\n", pushed.stderr
    assert set(repositories["somebody/scenes"]) == {"model.safetensors", "config.json", "vocab.json", "README.md"}
    for name, content in repositories["somebody/scenes"].items():
        assert content == (tmp_path / "scenes" / name).read_bytes()
    pulled = python(PULL, "somebody/scenes", str(tmp_path / "photo.png"), endpoint=endpoint, home=tmp_path)
    command = ["export", "--checkpoint", "scenes", "--format", "hub", "--model_name", "mine", "--push_to", "somebody/mine"]
    exported = python("from showtell.cli import main; main()", *command, endpoint=endpoint, home=tmp_path, token="secret")
    assert exported.stdout.endswith(f"Sent to {endpoint}/somebody/mine.\n"), exported.stderr
    assert repositories["somebody/mine"]["model.safetensors"] == repositories["somebody/scenes"]["model.safetensors"]
    assert pulled.stdout == f"{captioner.caption(pictures[0]).text}\n", pulled.stderr


def test_what_the_hub_refuses_is_a_sentence(captioner: TorchCaptioner, hub: Any, tmp_path: Path) -> None:
    captioner.save_pretrained(tmp_path / "scenes")
    refused = python(PUSH, str(tmp_path / "scenes"), "wrong", endpoint=hub[0], home=tmp_path)
    assert "could not be sent to somebody/scenes on the Hugging Face Hub" in refused.stderr
    absent = python(PULL, "somebody/else", "photo.png", endpoint=hub[0], home=tmp_path)
    assert "there is no model at somebody/else, and none of that name could be fetched" in absent.stderr
    unreachable = python(PULL, "somebody/else", "photo.png", endpoint="http://127.0.0.1:9", home=tmp_path)
    assert "none of that name could be fetched" in unreachable.stderr


@pytest.mark.parametrize("name", ["absent.pt", "folder/absent.pt", "/absent", "a/b/c", "../x", "a"])
def test_what_cannot_be_a_repository_is_not_asked_for(name: str) -> None:
    with pytest.raises(Problem, match=r"there is no model at .*: train one"):
        find_model(name)


def test_a_repository_has_an_owner(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="give OWNER/NAME"):
        push_folder(tmp_path, "scenes")
