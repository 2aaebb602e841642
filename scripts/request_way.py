"""Print the way of a rerank request: the files that its documents pass, and the shapes they take.

    python scripts/request_way.py

The gateway serves with the fake engine; one request is posted, and the Python calls of gateway and
shard are followed. A document counts as its text, as the token that the fake tokenizer makes of it,
as its margin and as its score. A file *passes* a document on if it returns the document to another
file, or hands it to a file that does; a file that only looks at it (to count, to estimate, to
compare) does not, and neither does a method of the type that holds it. A *shape* is a type with a
document in a field of its own; a *wrapper* is a type that holds a shape.

The tree that is followed is the first of `sys.path`: set PYTHONPATH to follow another one.
"""

import functools
import http.client
import json
import os
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType

QUERY, TEXT = "where does it go", "a document with a mark that is nowhere else: 7d1f03"
PATIENCE_SECONDS = 120.0
LOG = "REQUEST_WAY_LOG"
PLAIN = (list, tuple, set, frozenset, dict)
MOST_LEVELS = 6  # of types in each other

Event = tuple[int, str, str, str, list[str]]
"""Time, kind (`holds`, `returns` or `calls`), file, the other file, and the types by name."""


@functools.cache
def marks() -> tuple[frozenset[float], tuple[bytes, ...]]:
    """Return the numbers that stand for the document, and the bytes."""
    from shards.engines.fake import margin

    found = margin(QUERY, TEXT)
    score = 1 / (1 + 2.718281828459045**-found)
    numbers = {found, int((found + 8.0) * (1 << 20))}
    return frozenset(numbers), (TEXT.encode(), struct.pack("<f", found), str(score)[:9].encode())


def is_document(value: object) -> bool:
    numbers, texts = marks()
    if isinstance(value, str):
        return TEXT in value
    if isinstance(value, bytes | bytearray | memoryview):
        return any(text in bytes(value) for text in texts)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value in numbers or str(value).encode().startswith(texts[-1])
    return False


def walk(value: object, around: tuple[type, ...] = ()) -> Iterator[tuple[type, ...]]:
    """Yield, for each place of the document in a value, the types around it, outermost first."""
    if is_document(value):
        yield (*around, bytes) if isinstance(value, bytes | memoryview) else around
    elif isinstance(value, PLAIN):
        named = (*around, type(value)) if hasattr(value, "_fields") else around
        for inner in value.values() if isinstance(value, dict) else value:
            yield from walk(inner, named)
    elif len(around) < MOST_LEVELS:
        fields = getattr(value, "__dataclass_fields__", getattr(value, "__struct_fields__", ()))
        for name in fields:
            yield from walk(getattr(value, name, None), (*around, type(value)))


class Follower:
    """A profile function that writes down where the document is seen."""

    def __init__(self, root: Path, log: Path) -> None:
        self._root = f"{root}/"
        self._rooms = (f"{root}/gateway/", f"{root}/shards/")
        self._log = log.open("a", buffering=1)
        self._here = threading.local()

    def __call__(self, frame: FrameType, event: str, result: object) -> None:
        file = frame.f_code.co_filename
        if getattr(self._here, "is_busy", False) or not file.startswith(self._rooms):
            return
        self._here.is_busy = True  # or the calls of this method would be followed, too
        caller = frame.f_back.f_code.co_filename if frame.f_back else ""
        held = dict(frame.f_locals)
        if not any(walk(held.pop("self", None))):
            if event == "call" and caller.startswith(self._rooms):
                self._note("calls", caller, file, held.values())
            elif event == "return":
                self._note("returns", file, caller, [result])
                self._note("holds", file, "", [*held.values(), result])
        self._here.is_busy = False

    def _note(self, kind: str, file: str, other: str, values: Iterable[object]) -> None:
        for types in {types for value in values for types in walk(value)} if file != other else ():
            names = [f"{one.__module__}.{one.__qualname__}" for one in types]
            paths = [file.removeprefix(self._root), other.removeprefix(self._root)]
            self._log.write(json.dumps([time.monotonic_ns(), kind, *paths, names]) + "\n")


def follow() -> None:
    """Follow the calls of this process, and of its threads to come."""
    import gateway

    marks()
    follower = Follower(Path(gateway.__file__).parent.parent, Path(os.environ[LOG]))
    threading.setprofile(follower)
    sys.setprofile(follower)


def follow_shards(folder: Path) -> None:
    """Have each Python process that starts from here on follow its calls, as `site` begins it."""
    code = f"import runpy; runpy.run_path({__file__!r})['follow']()"
    (folder / "sitecustomize.py").write_text(code)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), *filter(None, sys.path)])


def post(port: int, answered: list[int]) -> None:
    """Post the request once the gateway is ready; note when it is answered, and end the gateway."""
    body = json.dumps({"query": QUERY, "documents": [TEXT, "another one"]})
    end = time.monotonic() + PATIENCE_SECONDS
    try:
        while time.monotonic() < end:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
            with suppress(OSError):
                connection.request("POST", "/v1/rerank", body, {"content-type": "application/json"})
                connection.getresponse().read()
                answered.append(time.monotonic_ns())
                return
            time.sleep(0.2)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)


def passing(events: list[Event]) -> set[str]:
    """Return the files that return the document, or hand it to a file that does."""
    found = {file for _, kind, file, _, _ in events if kind == "returns"}
    while True:
        more = {file for _, kind, file, other, _ in events if kind == "calls" and other in found}
        if more <= found:
            return found
        found |= more


def report(events: list[Event]) -> None:
    on_the_way = passing(events)
    held = dict.fromkeys(file for _, kind, file, _, _ in events if kind == "holds")
    passed = [file for file in held if file in on_the_way]
    lines = [f"{len(passed)} files pass the documents on:", *(f"  {file}" for file in passed)]
    observers = [file for file in held if file not in on_the_way]
    lines.append(f"{len(observers)} more look at them: {', '.join(observers)}")
    shapes = dict.fromkeys(names[-1] for *_, names in events if names)
    wrappers = dict.fromkeys(name for *_, names in events for name in names[:-1])
    others = [name for name in wrappers if name not in shapes]
    for title, names in (("shapes", list(shapes)), ("wrappers", others)):
        short = [name.rpartition(".")[2] for name in names]
        lines.append(f"{len(short)} {title}: {', '.join(short)}")
    sys.stdout.write("\n".join(lines) + "\n")


def main() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "events.jsonl")
        os.environ[LOG] = str(log)
        follow_shards(Path(folder))
        follow()
        answered: list[int] = []
        threading.Thread(target=post, args=(port, answered)).start()
        from gateway.__main__ import main as serve

        sys.argv = ["gateway", "serve", "--port", str(port), "--model", "demo=fake"]
        sys.argv += ["--engine", "fake"]
        with suppress(SystemExit):
            serve()
        sys.setprofile(None)
        events = sorted(json.loads(line) for line in log.read_text().splitlines())
        report([event for event in events if event[0] <= answered[0]])


if __name__ == "__main__":
    main()
