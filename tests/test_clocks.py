"""Time-outs, backoff and deadlines use CLOCK_MONOTONIC: setting a machine's clock does no harm.

A test cannot set the clock of its machine, so these tests read the code instead.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "gateway/http/gateway_state.py": "the `created` of the model list, as clients show it",
    "gateway/http/auth.py": "when a key has all its requests again, as Cohere's clients read it",
    "gateway/cli/measure/calibrate.py": "when a map was fitted, as its file says",
    "gateway/cli/operate/key.py": "when a key was made and revoked, and which have expired",
    "gateway/cli/operate/watch.py": "when a status was looked at, as people read it",
    "gateway/cli/score/remote_scorer.py": "the same as gateway/client/wire.py",
    "gateway/client/wire.py": "a Retry-After that is a date, which only the time of day can read",
    "gateway/http/keys/gate.py": "whether a key has expired, which is a date",
    "gateway/serving/reload.py": "when the last reload ended, as `gateway status` shows it",
    "gateway/serving/renewals.py": "when keys and limits were reloaded, as the status shows it",
    "gateway/serving/reranker.py": "the `created` of a reply, as clients show it",
    "gateway/serving/text_encoder.py": "the same as gateway/serving/reranker.py",
    "gateway/serving/fallback.py": "the same as gateway/serving/reranker.py",
    "gateway/serving/score_cache/stores/chain.py": "when a score was made, for other processes",
    "gateway/serving/score_cache/stores/disk.py": "which scores have expired, by that time",
    "gateway/serving/score_cache/stores/score_store.py": "the same",
    "gateway/http/history.py": "the times of the history, as people read them",
    "gateway/http/read_endpoints.py": "the `unix` of /health, as infinity's clients read it",
    "gateway/telemetry/tracing.py": "when a span began, as traces have it",
    "shards/worker/startup.py": "whether a file was changed since the load, by its own time",
}
"""The files that read the time of day. It decides only about the expiry of a key, about that of a
stored score, which is as right as a new one, and about a file that may have changed."""

_WALL = {"time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.ctime"}
_METHODS = {"now", "utcnow", "today"}


def _wall_clock_reads(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            yield "from time import: name the module, so that the clock is visible in the code"
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
