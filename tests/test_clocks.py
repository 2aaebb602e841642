"""Time-outs, backoff and deadlines go by CLOCK_MONOTONIC: setting the clock of a machine harms nobody.

Nobody can set the clock of the machine that runs the tests, so the code is read instead.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "gateway/api.py": "the `created` of the model list, as clients show it",
    "gateway/auth.py": "when a key has all its requests again, as Cohere's clients read it",
    "gateway/cli/calibrate.py": "when a map was fitted, as its file says",
    "gateway/cli/key.py": "when a key was made and revoked, and which have expired",
    "gateway/cli/watch.py": "when a status was looked at, as people read it",
    "gateway/client/wire.py": "a Retry-After that is a date, which only the time of day can read",
    "gateway/keys/gate.py": "whether a key has expired, which is a date",
    "gateway/reload.py": "when the last reload ended, as `gateway status` shows it",
    "gateway/reranker.py": "the `created` of a reply, as clients show it",
    "gateway/tracing.py": "when a span began, as traces have it",
}
"""Where the time of day is told to somebody, and nothing but a key's expiry is decided by it."""

_WALL = {"time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.ctime"}
_METHODS = {"now", "utcnow", "today"}


def _wall_clock_reads(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            yield "from time import: name the module, so that it can be seen which clock is read"
        if isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            if name in _WALL or (name.startswith(("datetime.", "date.")) and node.attr in _METHODS):
                yield name


def test_nothing_is_decided_by_the_time_of_day() -> None:
    found = {
        str(file.relative_to(ROOT)): reads
        for package in ("gateway", "shards")
        for file in sorted((ROOT / package).rglob("*.py"))
        if (reads := list(_wall_clock_reads(file)))
    }
    assert found.keys() == ALLOWED.keys(), found
    assert all(len(reads) == 1 for reads in found.values()), found


def test_a_read_of_the_wall_clock_would_be_seen(tmp_path: Path) -> None:
    file = tmp_path / "late.py"
    file.write_text("import time\nfrom datetime import datetime\nx = time.time(), datetime.now()\n")
    assert sorted(_wall_clock_reads(file)) == ["datetime.now", "time.time"]
