"""From a spec to an engine that may serve: loaded, warm, and checked by its canaries."""

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from shards.checkpoint.fingerprint import whole_fingerprint_of
from shards.checkpoint.hub import find_folder
from shards.engines import load_engine, refusing_broken
from shards.engines.base import Engine
from shards.machine import devices
from shards.machine.process import keeping_freed_memory
from shards.refusal import Refusal
from shards.wire.facts import WHOLE, Facts
from shards.wire.messages import Ready, Stage
from shards.wire.pipe import ShardEnd
from shards.wire.spec import ShardSpec
from shards.worker.canary_check import CanaryCheck, CanaryFailed
from shards.worker.runner import BatchTime, work_of

_PROBES = (("As long as this takes here.",), ("As long as a batch of this size takes.",) * 4)


class Started(NamedTuple):
    """An engine that may serve, the time of its batches, and its canaries."""

    engine: Engine
    batch_time: BatchTime
    canary_check: CanaryCheck


def start(spec: ShardSpec, pipe: ShardEnd) -> Started:
    """Load, warm and check an engine, reporting each stage to the gateway.

    Raises:
        Refusal: the spec cannot be served.
        CanaryFailed: it can, with wrong scores.
    """
    devices.prepare(spec)
    pipe.send(Stage("loading", spec.source))
    since = time.time()
    with keeping_freed_memory():
        engine = load_engine(spec, lambda detail: pipe.send(Stage("loading", detail)))
    facts = engine.facts
    files = _Files(spec, facts, since)
    pipe.send(Stage("warming", f"{facts.engine} on {facts.device} in {facts.dtype}"))
    with refusing_broken(spec.source, "scored with"):
        engine.warm_up()
        canary_check = CanaryCheck(engine, spec)
        canary, notes = canary_check.after_load(lambda detail: pipe.send(Stage("proving", detail)))
        batch_time = _first_batch_time(engine, canary_check.timings)
    pipe.send(canary)
    if canary.findings:
        raise CanaryFailed(canary.findings)
    (empty,) = engine.tokenizer.tokenize("", ("",), instruction="", max_document_tokens=0)
    measured = replace(
        facts,
        prompt_tokens=empty.own_tokens,
        shared_tokens=len(empty) - empty.own_tokens,
        warnings=facts.warnings + notes + canary_check.doubts,
        doubts=facts.doubts + canary_check.doubts,
        files=files.result(),
    )
    pipe.send(Ready(measured))
    return Started(engine, batch_time, canary_check)


class _Files:
    """The `files` of a model's facts; every byte is read beside the warm-up if the spec asks."""

    def __init__(self, spec: ShardSpec, facts: Facts, since: float) -> None:
        self._found = facts.files
        self._thread: threading.Thread | None = None
        if spec.whole_files and facts.files and not facts.files.startswith(WHOLE):
            reading = partial(self._read, replace(spec, offline=True), since)
            self._thread = threading.Thread(target=reading, name="files")
            self._thread.start()

    def _read(self, spec: ShardSpec, since: float) -> None:
        with contextlib.suppress(OSError, Refusal):  # a file is gone: the sampled hash stands
            folder = find_folder(spec, lambda detail: None)
            self._found = whole_fingerprint_of(folder, since) or self._found

    def result(self) -> str:
        """Wait for the end of the reading."""
        if self._thread is not None:
            self._thread.join()
        return self._found


def _first_batch_time(engine: Engine, timings: Iterable[tuple[int, int]]) -> BatchTime:
    """Return an estimate for the first real batch, from the canaries, or else from probes."""
    batch_time = BatchTime()
    for tokens, taken_ns in timings or _probe(engine):
        batch_time.learn(tokens, taken_ns)
    return batch_time


def _probe(engine: Engine) -> Iterator[tuple[int, int]]:
    """Yield tokens and nanoseconds of warm batches."""
    for documents in _PROBES:
        pairs = engine.tokenizer.tokenize(
            "How long?", documents, instruction="", max_document_tokens=0
        )
        started_ns = time.monotonic_ns()
        engine.score(pairs)
        yield sum(work_of(engine, pairs).computed), time.monotonic_ns() - started_ns
