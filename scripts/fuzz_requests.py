"""Parse 10,000 bodies that repeat and nest, and print the worst time and memory per byte.

    python scripts/fuzz_requests.py [--bodies 10000] [--seed 1] [--largest 8388608] [--jobs 2]

Every body is parsed as the endpoint parses it, in JSON or MessagePack, by a process of its own.
The memory is the growth of that process, so it includes what Python allocates and does not return.
The time is CPU time of the thread, so that a busy machine does not count. The event loop loses all
the time of a body below `LARGE_BYTES`. A larger one is parsed in a thread, so the event loop loses
no more than the longest call that keeps the interpreter busy.
"""

import argparse
import ctypes
import gc
import heapq
import math
import os
import random
import struct
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

from gateway.http.large_bodies import LARGE_BYTES
from tests.request_fuzz import FLOOR, Body, Recipe, parse, recipes, render, seconds

MOST_SECONDS = 0.150
MOST_TIMES = 8.0
REPORT_BODIES = 500
_FIGURES = struct.Struct("ddqdI200p")


class Measured(NamedTuple):
    """The figures of one body."""

    size: int
    name: str
    parse_seconds: float
    loop_seconds: float
    memory: int
    render_seconds: float | None

    @property
    def times(self) -> float:
        """The memory over the bytes of the body, the body included."""
        return (self.memory + self.size) / max(self.size, FLOOR)

    @property
    def label(self) -> str:
        return f"{self.size:>8} bytes, {self.name}"


class Worst:
    """The highest five figures of a kind."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.heap: list[tuple[float, str]] = []

    def add(self, figure: float, label: str) -> None:
        heapq.heappush(self.heap, (figure, label))
        if len(self.heap) > 5:
            heapq.heappop(self.heap)

    def show(self) -> None:
        sys.stdout.write(f"worst {self.title}:\n")
        for figure, label in sorted(self.heap, reverse=True):
            sys.stdout.write(f"  {figure:8.3f}  {label}\n")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--bodies", type=int, default=10_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--largest", type=int, default=8 * 1024 * 1024 - 8192)
    options.add_argument("--jobs", type=int, default=2, help="processes at a time")
    given = options.parse_args()
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, *gc.get_threshold()[1:])  # as the gateway does
    times, memory = Worst("seconds to parse"), Worst("memory over bytes")
    on_loop, replies = Worst("seconds on the event loop"), Worst("seconds to render")
    accepted, started = 0, time.monotonic()
    plan = _plan(given.seed, given.bodies, given.largest)
    with ThreadPoolExecutor(given.jobs) as pool:
        for number, found in enumerate(pool.map(lambda item: measured(*item), plan), 1):
            times.add(found.parse_seconds, found.label)
            memory.add(found.times, found.label)
            on_loop.add(found.loop_seconds, found.label)
            if found.render_seconds is not None:
                accepted += 1
                replies.add(found.render_seconds, found.label)
            if number % REPORT_BODIES == 0:
                past = time.monotonic() - started
                sys.stderr.write(f"{number} bodies after {past:.0f} s\n")
    sys.stdout.write(f"{given.bodies} bodies, {accepted} accepted\n")
    for worst in (times, on_loop, memory, replies):
        worst.show()
    return int(max(on_loop.heap)[0] > MOST_SECONDS or max(memory.heap)[0] > MOST_TIMES)


def _plan(seed: int, number: int, largest: int) -> Iterator[tuple[Recipe, int]]:
    """Yield recipes and sizes; small sizes are as likely as large ones."""
    chance = random.Random(seed)
    for recipe in recipes(seed, number):
        yield recipe, int(math.exp(chance.uniform(math.log(2_000), math.log(largest))))


def measured(recipe: Recipe, size: int) -> Measured:
    """Measure a body in a child process, which has this one's modules and no other body."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(readable)
        try:
            os.write(writable, _measure(recipe.make(size)))
        finally:
            os._exit(0)  # nothing of this process may be run to its end in the child
    os.close(writable)
    with os.fdopen(readable, "rb") as stream:
        raw = stream.read()
    os.waitpid(child, 0)
    if not raw:
        raise RuntimeError(f"the process for {recipe} of {size} bytes ended without figures")
    parsed, on_loop, memory, rendered, length, name = _FIGURES.unpack(raw)
    name = name.decode(errors="ignore")
    return Measured(length, name, parsed, on_loop, memory, None if rendered < 0 else rendered)


def _measure(body: Body) -> bytes:
    raw_size = len(body.raw)
    ctypes.CDLL(None).malloc_trim(0)  # free memory of the parent would hide growth
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _kilobytes("VmRSS")
    started = time.thread_time()
    found = parse(body)
    parsed = time.thread_time() - started
    memory = (_kilobytes("VmHWM") - before) * 1024
    on_loop = parsed
    if parsed > MOST_SECONDS / 2:  # other bodies need no second look
        work = partial(parse, body)
        on_loop = _longest_call(work) if raw_size >= LARGE_BYTES else min(parsed, seconds(work))
    rendered = -1.0
    if found is not None:
        rendered = seconds(partial(render, *found, body.media_type))
    name = body.name.encode()[:199]
    return _FIGURES.pack(parsed, on_loop, memory, rendered, raw_size, name)


def _longest_call(work: Callable[[], object]) -> float:
    """Return the time of the longest call of a function in C: no other thread runs meanwhile."""
    longest = started = 0.0

    def profile(_frame: FrameType, event: str, _function: object) -> None:
        nonlocal longest, started
        now = time.thread_time()
        if event == "c_call":
            started = now
        elif event in {"c_return", "c_exception"}:
            longest = max(longest, now - started)

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return longest


def _kilobytes(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {name}")


if __name__ == "__main__":
    sys.exit(main())
