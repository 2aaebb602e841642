"""`gateway download`, from a small hub in this process with the Hugging Face protocol."""

import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.gateway.cli.conftest import gateway

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "config.json": b'{"architectures": ["BertForSequenceClassification"]}',
    "model.safetensors": b"weights" * 1000,
    "tokenizer.json": b"{}",
    "vocab.txt": b"[PAD]",
    "1_LogitScore/config.json": b"{}",
    "pytorch_model.bin": b"pickled",
    "onnx/model.json": b"{}",
    "README.md": b"# A model",
}
REPOSITORIES = {"org/good": FILES, "org/pickled": {"config.json": b"{}", "a.bin": b"pickled"}}


class Hub(BaseHTTPRequestHandler):
    """Two open repositories and a gated one."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""

    def _answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        name = next((name for name in REPOSITORIES if name in path), "")
        if "org/gated" in path:
            self._send(403, b"{}", {"X-Error-Code": "GatedRepo"}, body=body)
        elif not name:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, body=body)
        elif re.search(r"/(revision|resolve|tree)/(?!main|" + COMMIT + ")", path):
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"}, body=body)
        elif path.startswith("/api/models/"):
            self._send(200, self._listing(name, tree="/tree/" in path), {}, body=body)
        else:
            file = path.rpartition(COMMIT + "/")[2]
            content = REPOSITORIES[name][file]
            tag = hashlib.sha1(content).hexdigest()
            headers = {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT}
            self._send(200, content, headers, body=body)

    def _listing(self, name: str, *, tree: bool) -> bytes:
        files = REPOSITORIES[name]
        if tree:
            entries = [
                {"type": "file", "path": path, "size": len(content), "oid": "0" * 40}
                for path, content in files.items()
            ]
            return json.dumps(entries).encode()
        siblings = [{"rfilename": path} for path in files]
        return json.dumps({"id": name, "sha": COMMIT, "siblings": siblings}).encode()

    def _send(self, code: int, content: bytes, headers: dict[str, str], *, body: bool) -> None:
        self.send_response(code)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(content)


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_it_downloads_the_files_of_a_shard_and_nothing_else(hub: str, tmp_path: Path) -> None:
    done = gateway("download", "org/good", "--json", HF_ENDPOINT=hub, HF_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    folder = Path(found["folder"])
    assert {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "vocab.txt",
        "1_LogitScore/config.json",
    }
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert found["bytes"] == sum(file.stat().st_size for file in folder.rglob("*.*"))


def test_the_command_that_serves_the_model_is_printed(hub: str, tmp_path: Path) -> None:
    done = gateway("download", "org/good", HF_ENDPOINT=hub, HF_HOME=str(tmp_path))
    assert "gateway serve --model org/good\n" in done.stdout
    elsewhere = ("--cache-dir", str(tmp_path / "cache"))
    done = gateway("download", "org/good", *elsewhere, HF_ENDPOINT=hub)
    assert re.search(rf"gateway serve --model good={tmp_path}/cache/\S+{COMMIT}\n", done.stdout)


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["org/absent"], 1, "no model org/absent on the hub"),
        (["org/good", "--revision", "v9"], 1, "no revision 'v9'"),
        (["org/gated"], 1, "accept them at https://huggingface.co/org/gated"),
        (["org/pickled"], 1, "no *.safetensors"),
        (["not a model"], 1, "OWNER/NAME"),
    ],
)
def test_an_unavailable_model_is_an_error(
    hub: str, tmp_path: Path, arguments: list[str], code: int, word: str
) -> None:
    done = gateway("download", *arguments, HF_ENDPOINT=hub, HF_HOME=str(tmp_path))
    assert done.returncode == code, done.stderr
    assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_no_connection_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    done = gateway("download", "org/good", HF_ENDPOINT=url, HF_HOME=str(tmp_path))
    assert done.returncode == 69
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


def test_offline_nothing_is_downloaded(hub: str, tmp_path: Path) -> None:
    for name in ("HF_HUB_OFFLINE", "GATEWAY_OFFLINE"):
        done = gateway(
            "download", "org/good", **{name: "1"}, HF_ENDPOINT=hub, HF_HOME=str(tmp_path)
        )
        assert done.returncode == 69
        assert name in done.stderr
