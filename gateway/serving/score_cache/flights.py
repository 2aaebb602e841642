"""Flights: jobs that are being scored, and the pairs by which other requests find and join them.

A flight goes on as long as one request waits for it. Each waiting request keeps its own deadline;
when the last one leaves, the job is withdrawn.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import NamedTuple

from gateway.domain.job import Job
from gateway.domain.request import Scored
from gateway.serving.scatter_gather import scored_of
from shards.wire.messages import Scores


class Landing(NamedTuple):
    """The end of a flight: the answer to its job, and the score of each pair, in its order."""

    answer: Scores
    scored: Mapping[bytes, Scored]


class Flight:
    """One job that is being scored.

    Attributes:
        keys: the key of each of its pairs, in the order of the job.
        job: the job.
    """

    def __init__(
        self, keys: Sequence[bytes], job: Job, scoring: Coroutine[object, object, Scores]
    ) -> None:
        self.keys = keys
        self.job = job
        self._waiting = 0
        self._is_left = False
        self._task = asyncio.create_task(self._land(scoring))

    async def _land(self, scoring: Coroutine[object, object, Scores]) -> Landing:
        answer = await scoring
        return Landing(answer, dict(zip(self.keys, scored_of(self.job, answer), strict=True)))

    @property
    def is_open(self) -> bool:
        """True while a request may join it."""
        return not self._is_left and not self._task.done()

    async def landing(self) -> Landing:
        """Wait for the scores.

        Raises:
            PairFault: one of its pairs cannot be scored.
            GatewayError: why it has no scores.
        """
        self._waiting += 1
        try:
            return await asyncio.shield(self._task)
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._is_left = True
                self._task.cancel()  # of no effect on a job that has its scores

    def when_done(self, call: Callable[[Landing | None], None]) -> None:
        """Call back with the scores when there are some, or with `None` for a job without any."""
        self._task.add_done_callback(lambda task: call(_landing_of(task)))


def _landing_of(task: asyncio.Task[Landing]) -> Landing | None:
    return None if task.cancelled() or task.exception() else task.result()


class Flights:
    """The flights of all models, by the keys of their pairs."""

    def __init__(self) -> None:
        self._flights: dict[bytes, Flight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def add(self, flight: Flight) -> None:
        """Let other requests join a flight until it ends."""
        self._flights.update(dict.fromkeys(flight.keys, flight))
        flight.when_done(lambda _: self._remove(flight))

    def _remove(self, flight: Flight) -> None:
        for key in flight.keys:
            if self._flights.get(key) is flight:
                del self._flights[key]

    def find(self, key: bytes) -> Flight | None:
        """Return the flight of a pair that a request may join."""
        flight = self._flights.get(key)
        return flight if flight and flight.is_open else None
