"""What the engine is at, and what the arena says of it meanwhile.

A CPU computes a batch where it is begun. A GPU is only told what to do, and goes on by itself: so the next
batch is formed, laid out and begun while it computes, and it never waits for Python. A batch that was begun
is a *flight*; flights land in their order, and one that failed says so when it lands.

The arena names the jobs of all flights, for when the process ends with them, and how long they may take.
"""

import logging
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from shards.batcher import WaitingPair
from shards.engines.base import Engine, RunsAhead
from shards.pace import Pace
from shards.pairs import Batch
from shards.start import expected_work, work_of
from shards.wire.arena import Arena
from shards.wire.exit_codes import ExitCode
from shards.work import Work

_logger = logging.getLogger(__name__)
_NOTHING = Work([], [])


@dataclass(slots=True, eq=False)
class Flight:
    """A batch that was begun.

    Attributes:
        batch: its pairs.
        pairs: the same, as the engine takes them.
        tokens: how many were expected to be computed.
        started_ns: when the device began with it, as far as that is known.
        landed_ns: when its margins were there.
        work: what it cost.
        margins: waits for them, or raises what the engine raised.
        has_landed: whether that would not wait.
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


class Device:
    """An engine, with notes in the arena.

    Attributes:
        flights: what was begun and has not landed, in order.
    """

    def __init__(
        self, engine: Engine, arena: Arena, pace: Pace, landed: Callable[[], None]
    ) -> None:
        """Take an engine; `landed` is called, in another thread, when a flight could land."""
        self.flights: list[Flight] = []
        self._engine = engine
        self._arena = arena
        self._pace = pace
        self._landed_ns = 0
        self._landed = landed
        self._runs_ahead = isinstance(engine, RunsAhead) and engine.runs_ahead
        self._waiting = ThreadPoolExecutor(1, "waiting for the device")

    @property
    def is_full(self) -> bool:
        """Whether a flight has to land before the next batch is begun."""
        return len(self.flights) > self._runs_ahead

    @property
    def could_land(self) -> bool:
        """Whether the first flight would land without waiting."""
        return bool(self.flights) and self.flights[0].has_landed()

    def begin(self, batch: Sequence[WaitingPair]) -> Flight:
        """Give the engine a batch; whatever it raises is raised by `land`."""
        pairs = [waiting.pair for waiting in batch]
        tokens = sum(expected_work(self._engine, pairs).computed)
        flight = Flight(batch, pairs, tokens, time.monotonic_ns(), 0, _NOTHING, list, lambda: True)
        self.flights.append(flight)
        self._tell()
        try:
            self._launch(flight)
            flight.work = work_of(self._engine, pairs)
        except Exception as error:
            end_if_lost(error)  # while the arena still says what was on it
            flight.margins = partial(_raise, error)
        return flight

    def land(self, flight: Flight) -> list[float]:
        """Wait for the margins of a batch, one for each pair.

        Raises:
            Exception: what the engine raised.
        """
        try:
            margins = flight.margins()
            if len(margins) != len(flight.batch):
                raise ValueError(f"{len(margins)} scores for {len(flight.batch)} pairs")
        except Exception as error:
            end_if_lost(error)
            raise
        finally:
            self._note_landing(flight)
        return margins

    def _launch(self, flight: Flight) -> None:
        if not self._runs_ahead:
            margins = self._engine.score(flight.pairs)
            flight.margins = lambda: margins
            return
        assert isinstance(self._engine, RunsAhead)
        landing = self._waiting.submit(self._engine.launch(flight.pairs))
        landing.add_done_callback(lambda _: self._landed())
        flight.margins, flight.has_landed = landing.result, landing.done

    def _note_landing(self, flight: Flight) -> None:
        flight.started_ns = max(flight.started_ns, self._landed_ns)
        flight.landed_ns = self._landed_ns = time.monotonic_ns()
        self.flights.remove(flight)
        if self.flights:
            self._arena.batch_moved()
            self._tell()
        else:
            self._arena.batch_done()

    def _tell(self) -> None:
        jobs = {waiting.job: None for flight in self.flights for waiting in flight.batch}
        expected_ns = sum(self._pace.expected_ns(flight.tokens) for flight in self.flights)
        self._arena.batch_started(tuple(jobs), now_ns=time.monotonic_ns(), expected_ns=expected_ns)


def _raise(error: Exception) -> list[float]:
    raise error


def end_if_lost(error: Exception) -> None:
    """After a CUDA error that is not about memory every later call fails or lies: start afresh."""
    text = str(error)
    if "CUDA error" in text and "out of memory" not in text:
        _logger.critical("the device is lost: %s", text)
        os._exit(ExitCode.DEVICE)
