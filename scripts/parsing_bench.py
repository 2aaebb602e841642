"""Time that the gateway takes to route and parse a request, beside another tree of this repository.

    python scripts/parsing_bench.py --against ../before

Both trees are measured in turn, in processes of their own, with the same paths and bodies; the
figure of a tree is its fastest round, since other work on the machine only adds. *Path* is the
context of a request that has this path, as the outermost middleware makes it; *parse* is a body.
"""

import argparse
import json
import subprocess
import sys
import time
import timeit
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 15
_SECONDS = 0.05  # of one measurement

_DOCUMENTS = [f"a document of about ten common words, number {number}" for number in range(20)]
_BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "shared": ("/v1/rerank", {"model": "m", "query": "which is it?", "documents": _DOCUMENTS}),
    "cohere v2": ("/v2/rerank", {"query": "q", "documents": _DOCUMENTS, "top_n": 3}),
    "voyage": ("/v1/rerank", {"query": "q", "documents": _DOCUMENTS, "top_k": 3}),
    "tei": ("/rerank", {"query": "q", "texts": _DOCUMENTS, "truncate": True}),
    "objects": ("/v1/rerank", {"query": "q", "documents": [{"text": t} for t in _DOCUMENTS]}),
}
_PATHS = {
    "known": ("POST", "/v1/rerank"),
    "known, of a vendor": ("POST", "/voyage/v1/rerank"),
    "names the model": ("POST", "/models/BAAI/bge-reranker-v2-m3/v1/rerank"),
    "read": ("GET", "/v1/models"),
    "behind a prefix": ("POST", "/providers/openai/v1/rerank"),
    "slash at the end": ("POST", "/v1/rerank/"),
    "unknown": ("POST", "/a/path/that/is/nowhere"),
    "longest, unknown": ("POST", "/x" * 20_000),
}
_HEADERS = [(b"host", b"localhost"), (b"content-type", b"application/json")]


def measure() -> dict[str, float]:
    """Return the microseconds of each step in the tree that `sys.path` begins with."""
    from gateway.dialects import Limits, MediaType, encode, match_path, parse_body
    from gateway.http.request_context import RequestContext

    def route(method: str, path: str) -> None:
        RequestContext.begin({"method": method, "path": path, "headers": _HEADERS})

    found = {}
    for name, (method, path) in _PATHS.items():
        found[f"path: {name}"] = _microseconds(partial(route, method, path))
    for name, (path, body) in _BODIES.items():
        raw, served = encode(body, MediaType.JSON), match_path(path)
        assert served is not None
        work = partial(parse_body, raw, MediaType.JSON, served, Limits(), _ignore)
        found[f"parse: {name}"] = _microseconds(work)
    return found


def _ignore(_: object) -> None:
    """Take the dialect of a request."""


def _microseconds(work: Callable[[], object]) -> float:
    timer = timeit.Timer(work, timer=time.process_time)
    number = max(int(_SECONDS / max(timer.timeit(50) / 50, 1e-7)), 1)
    return min(timer.repeat(3, number)) / number * 1e6


def _in_tree(tree: Path) -> dict[str, float]:
    run = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), "--one"],
        env={"PYTHONPATH": str(tree)},
        cwd=tree,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(run.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--against", type=Path, help="the other tree, such as one of git worktree")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        sys.stdout.write(json.dumps(measure()))
        return
    trees = [ROOT, *([options.against.resolve()] if options.against else [])]
    rounds = [[_in_tree(tree) for tree in trees] for _ in range(options.rounds)]
    for name in rounds[0][0]:
        times = [min(each[i][name] for each in rounds) for i in range(len(trees))]
        ratio = f"  {times[0] / times[1]:5.2f} of the other tree" if len(times) > 1 else ""
        sys.stdout.write(f"{name:24} {times[0]:9.3f} us{ratio}\n")


if __name__ == "__main__":
    main()
