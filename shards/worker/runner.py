"""The batches on the device, and the record of them in the arena.

A CPU computes a batch where it is begun. A GPU is only given work and goes on by itself: so the
next batch is formed, laid out and begun while it computes, and it never waits for Python. A batch
that was begun is *in flight*; batches land in their order, and one that failed raises its error
when it lands.

The arena names the jobs of all batches in flight, in case the process ends with them, and the
expected time. So the gateway distinguishes a slow batch from a hung device without knowing the
model.
"""

import logging
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from shards.cost import Work, attended_tokens, packed_work, padded_work
from shards.engines.base import CountsWork, Engine, KeepsPrefixes, RunsAhead
from shards.engines.prefix_cache import PrefixCache
from shards.pairs import Batch
from shards.wire.arena import Arena
from shards.wire.exit_codes import ExitCode
from shards.worker.batcher import WaitingPair

_logger = logging.getLogger(__name__)
_NO_WORK = Work([], [])
_LEARNING_RATE = 0.2
_FLOOR_GROWTH = 1.05  # a batch, so that the estimate follows a device that has become slower


class BatchTime:
    """An estimate of a batch's time, learnt from earlier batches. Pure: times are passed in, in ns.

    A batch has a fixed cost however small it is (a launch, a network round trip, a slow disk), and
    a cost for each token: `floor + slope * tokens`. The estimate need not be exact: the gateway
    waits a multiple of it, and never less than two seconds.
    """

    def __init__(self) -> None:
        self._floor_ns = 0.0
        self._ns_per_token = 0.0

    def expected_ns(self, tokens: int) -> int:
        """Return the expected time of a batch of so many tokens; 0 before the first one."""
        return int(self._floor_ns + tokens * self._ns_per_token)

    def learn(self, tokens: int, ns: int) -> None:
        """Record that a batch of so many tokens, padding included, took so long."""
        self._floor_ns = min(ns, self._floor_ns * _FLOOR_GROWTH) if self._floor_ns else ns
        slope = (ns - self._floor_ns) / tokens
        rate = _LEARNING_RATE if self._ns_per_token else 1.0  # the first one is all there is
        self._ns_per_token += (slope - self._ns_per_token) * rate


@dataclass(slots=True, eq=False)
class InFlightBatch:
    """A batch that was begun.

    Attributes:
        batch: its pairs.
        pairs: the same, as the engine takes them.
        tokens: the expected cost in tokens, with attention.
        started_ns: when the device began with it, as far as that is known.
        landed_ns: when its margins arrived.
        work: its cost.
        margins: waits for the margins, or raises the engine's error.
        has_landed: returns whether `margins` would not wait.
    """

    batch: Sequence[WaitingPair]
    pairs: Batch
    tokens: int
    started_ns: int
    landed_ns: int
    work: Work
    margins: Callable[[], list[float]]
    has_landed: Callable[[], bool]

    @property
    def took_ns(self) -> int:
        return self.landed_ns - self.started_ns


class Runner:
    """An engine and its batches in flight, recorded in the arena.

    Attributes:
        in_flight: the batches that were begun and have not landed, in order.
    """

    def __init__(
        self,
        engine: Engine,
        arena: Arena,
        batch_time: BatchTime,
        on_landed: Callable[[], None],
    ) -> None:
        """Take an engine.

        Args:
            on_landed: called in another thread when a batch could land without waiting.
        """
        self.in_flight: list[InFlightBatch] = []
        self._engine = engine
        self._arena = arena
        self._batch_time = batch_time
        self._landed_ns = 0
        self._on_landed = on_landed
        self._runs_ahead = isinstance(engine, RunsAhead) and engine.runs_ahead
        self._waiting = ThreadPoolExecutor(1, "waiting for the device")

    @property
    def is_full(self) -> bool:
        """True if a batch has to land before the next one is begun."""
        return len(self.in_flight) > self._runs_ahead

    @property
    def could_land(self) -> bool:
        """True if the first batch in flight would land without waiting."""
        return bool(self.in_flight) and self.in_flight[0].has_landed()

    def begin(self, batch: Sequence[WaitingPair]) -> InFlightBatch:
        """Give the engine a batch; `land` raises any error of it."""
        pairs = [waiting.pair for waiting in batch]
        tokens = attended_tokens(expected_work(self._engine, pairs).computed, pairs)
        in_flight = InFlightBatch(
            batch, pairs, tokens, time.monotonic_ns(), 0, _NO_WORK, list, lambda: True
        )
        self.in_flight.append(in_flight)
        self._record_start()
        try:
            self._launch(in_flight)
            in_flight.work = work_of(self._engine, pairs)
        except Exception as error:
            exit_if_device_lost(error)  # while the arena still names the batch
            in_flight.margins = partial(_raise, error)
        return in_flight

    def land(self, in_flight: InFlightBatch) -> list[float]:
        """Wait for the margins of a batch, one for each pair.

        Raises:
            Exception: the error of the engine.
        """
        try:
            margins = in_flight.margins()
            if len(margins) != len(in_flight.batch):
                raise ValueError(f"{len(margins)} scores for {len(in_flight.batch)} pairs")
        except Exception as error:
            exit_if_device_lost(error)
            raise
        finally:
            self._record_landing(in_flight)
        tokens = attended_tokens(in_flight.work.computed, in_flight.pairs)
        self._batch_time.learn(tokens, in_flight.took_ns)
        return margins

    def _launch(self, in_flight: InFlightBatch) -> None:
        if not self._runs_ahead:
            margins = self._engine.score(in_flight.pairs)
            in_flight.margins = lambda: margins
            return
        assert isinstance(self._engine, RunsAhead)
        landing = self._waiting.submit(self._engine.launch(in_flight.pairs))
        landing.add_done_callback(lambda _: self._on_landed())
        in_flight.margins, in_flight.has_landed = landing.result, landing.done

    def _record_landing(self, in_flight: InFlightBatch) -> None:
        in_flight.started_ns = max(in_flight.started_ns, self._landed_ns)
        in_flight.landed_ns = self._landed_ns = time.monotonic_ns()
        self.in_flight.remove(in_flight)
        if self.in_flight:
            self._arena.batch_advanced()
            self._record_start()
        else:
            self._arena.batch_done()

    def _record_start(self) -> None:
        jobs = {waiting.job: None for in_flight in self.in_flight for waiting in in_flight.batch}
        expected_ns = sum(
            self._batch_time.expected_ns(in_flight.tokens) for in_flight in self.in_flight
        )
        self._arena.batch_started(tuple(jobs), now_ns=time.monotonic_ns(), expected_ns=expected_ns)


def _raise(error: Exception) -> list[float]:
    raise error


def exit_if_device_lost(error: Exception) -> None:
    """End the process after a CUDA error other than about memory: later calls would fail or lie."""
    text = str(error)
    if "CUDA error" in text and "out of memory" not in text:
        _logger.critical("the device is lost: %s", text)
        os._exit(ExitCode.DEVICE)


def prefixes_of(engine: Engine) -> PrefixCache:
    """Return the prefix cache of an engine; an empty one, if it shares no prefixes."""
    return engine.prefixes if isinstance(engine, KeepsPrefixes) else PrefixCache(0)


def expected_work(engine: Engine, pairs: Batch) -> Work:
    """Return the expected cost of a batch, with the prefixes that are cached now."""
    if not engine.facts.packed:
        return padded_work(pairs)
    return packed_work(pairs, prefixes_of(engine))


def work_of(engine: Engine, pairs: Batch) -> Work:
    """Return the cost of the batch that was just scored."""
    return engine.last_work if isinstance(engine, CountsWork) else expected_work(engine, pairs)
