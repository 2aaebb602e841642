"""A hub on this machine: the four answers that `snapshot_download` needs, for one repository."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "acme/reranker"

_ABOUT = f"/api/models/{REPOSITORY}/revision/main"
_TREE = f"/api/models/{REPOSITORY}/tree/{COMMIT}"
_FILE = f"/{REPOSITORY}/resolve/{COMMIT}/"


class Hub(ThreadingHTTPServer):
    """A server of files by name; `asked` lists the requested paths."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.files = files
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def tree(self) -> list[dict[str, object]]:
        return [
            {"type": "file", "path": name, "size": len(content), "oid": self.etag(name)}
            for name, content in self.files.items()
        ]

    def etag(self, name: str) -> str:
        return f"{list(self.files).index(name):040x}"


class _Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.path.startswith(_ABOUT):
            self._json({"id": REPOSITORY, "sha": COMMIT, "siblings": []})
        elif self.path.startswith(_TREE):
            self._json(self.server.tree())
        elif self.path.startswith(_FILE):
            name = self.path.removeprefix(_FILE)
            etag = {"ETag": f'"{self.server.etag(name)}"', "X-Repo-Commit": COMMIT}
            self._send(200, self.server.files[name], etag)
        else:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET

    def _json(self, content: object) -> None:
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Log nothing."""
