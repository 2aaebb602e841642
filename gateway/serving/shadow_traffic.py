"""Shadow traffic: requests of one model that a second one scores again, for comparison.

A shadow never delays a client. Its requests are drawn when the first model's result is complete,
and wait in a short queue of their own; a request that does not fit is dropped, and counted. They
are scored in the background, in pieces of about fifty milliseconds (at least one document), one at
a time, and only while no client's request is in any model that shares a device with the shadow. So
a client waits at most for one piece. A piece is tried once: a lost shard or an error is counted,
and ends the comparison. After `_SECONDS` a request is given up.

The texts of a request are kept until it is compared or given up, its scores no longer; the shadow's
tokens are in no usage, and its jobs in no count of the model that scores them.
"""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from gateway.config import ModelSpec
from gateway.domain.errors import GatewayError
from gateway.domain.pair_faults import PairFault
from gateway.domain.request import UNCALIBRATED, Caller, RerankRequest, Scored
from gateway.scheduling.dispatch import QuarantineChanged
from gateway.scheduling.model import Model
from gateway.serving.fleet import Fleet
from gateway.serving.request_cleaning import clean
from gateway.serving.scatter_gather import gather, scatter
from gateway.supervision.replica import ReplicaLost
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.model_agreement import Window, compared, is_chosen
from gateway.telemetry.status import ShadowStatus
from shards.wire.messages import Scores

_logger = logging.getLogger(__name__)

_SECONDS = 30.0  # from the first model's result until a comparison is given up
_MOST_WAITING = 16  # of one pair of models
_MOST_DOCUMENTS = 1000
_MOST_CHARACTERS = 1_000_000
_PIECE_SECONDS = 0.05
_LEARNING_RATE = 0.2
_CALLER = Caller("(shadow)", weight=0.01)  # no key has such an id


class _Failed(Exception):
    """The shadow has no scores for a request; the message is the reason."""


@dataclass(eq=False, slots=True)
class _Sample:
    """A request that the first model has scored, and that its shadow is to score, too."""

    request: RerankRequest
    margins: Sequence[float]
    seconds: float
    is_begun: bool = False


@dataclass(eq=False, slots=True)
class _Pair:
    """Two revisions of models that are compared; other revisions are another pair.

    Attributes:
        turn: the lock by which one request is scored at a time.
        waiting: the number of requests that are drawn and not yet compared.
        tokens_per_second: the speed of the shadow; 0 before the first piece.
    """

    first: Model
    second: Model
    window: Window = field(default_factory=Window)
    counts: Counter[str] = field(default_factory=Counter)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0
    tokens_per_second: float = 0.0
    last_error: str = ""

    def learn(self, scores: Scores) -> None:
        """Learn the speed of the shadow from a piece."""
        tokens, seconds = sum(scores.tokens) - scores.saved_tokens, scores.compute_ns / 1e9
        if seconds > 0:
            seen = tokens / seconds
            self.tokens_per_second += (seen - self.tokens_per_second) * (
                _LEARNING_RATE if self.tokens_per_second else 1
            )


class Shadows:
    """The pairs of models that are compared, and the comparisons in progress."""

    def __init__(
        self, fleet: Fleet, metrics: Metrics, draw: Callable[[], float] = random.random
    ) -> None:
        self._fleet = fleet
        self._metrics = metrics
        self._draw = draw
        self._pairs: dict[str, _Pair] = {}  # by the name of the first model
        self._inside: Counter[str] = Counter()  # requests of clients, by model
        self._left = asyncio.Event()  # replaced whenever a request has left
        self._running: set[asyncio.Task[None]] = set()

    @contextmanager
    def paused_for(self, model: str) -> Iterator[None]:
        """Pause shadows on the devices of a model while a client's request is in it."""
        self._inside[model] += 1
        try:
            yield
        finally:
            self._inside[model] -= 1
            if self._running:
                self._left.set()
                self._left = asyncio.Event()

    def offer(
        self, request: RerankRequest, spec: ModelSpec, scored: Sequence[Scored], seconds: float
    ) -> None:
        """Have the shadow of a model score a request, too, if the request is drawn.

        Args:
            request: the request.
            spec: the model, which has a shadow.
            scored: the model's scores.
            seconds: the time that it computed.
        """
        assert spec.shadow is not None
        if not _can_be_compared(request):
            return
        if not is_chosen(spec.shadow.percent, self._draw):
            return
        # A request is finished by the revision that admitted it, whose shadow may be gone by then.
        if not self._fleet.serves(spec.name, spec.shadow.model):
            return
        pair = self._pair(spec)
        if pair.second.is_idle:
            pair.second.load(may_evict=False)  # for the next ones; this one is dropped
        if pair.waiting >= _MOST_WAITING or not pair.second.can_score or _is_large(request):
            self._count(pair, "dropped")
            return
        sample = _Sample(request, [document.margin for document in scored], seconds)
        pair.waiting += 1
        running = asyncio.create_task(self._compare(pair, sample), name=f"shadow of {spec.name}")
        self._running.add(running)
        running.add_done_callback(partial(self._ended, pair))

    def _ended(self, pair: _Pair, running: asyncio.Task[None]) -> None:
        self._running.discard(running)
        pair.waiting -= 1

    async def stop(self) -> None:
        """Cancel the comparisons in progress."""
        comparisons = list(self._running)
        for comparison in comparisons:
            comparison.cancel()
        await asyncio.gather(*comparisons, return_exceptions=True)

    def _pair(self, spec: ModelSpec) -> _Pair:
        assert spec.shadow is not None
        first, second = self._fleet.model(spec.name), self._fleet.model(spec.shadow.model)
        pair = self._pairs.get(spec.name)
        if pair is None or (pair.first, pair.second) != (first, second):
            pair = self._pairs[spec.name] = _Pair(first, second)
        return pair

    async def _compare(self, pair: _Pair, sample: _Sample) -> None:
        try:
            async with asyncio.timeout(_SECONDS), pair.turn:
                margins, seconds = await self._score(pair, sample)
            found = compared(
                sample.margins, margins, seconds=sample.seconds, shadow_seconds=seconds
            )
        except TimeoutError:
            if sample.is_begun:
                self._failed(pair, "no answer in time")
            else:  # the shadow was never idle
                self._count(pair, "dropped")
        except (GatewayError, ReplicaLost, _Failed) as error:
            self._failed(pair, str(error))
        except (PairFault, QuarantineChanged, ValueError) as error:
            self._failed(pair, f"a pair cannot be scored ({type(error).__name__})")
        except Exception as error:
            _logger.exception("the shadow of %s met a bug", pair.first.spec.name)
            self._failed(pair, repr(type(error)))
        else:
            pair.window.add(found)
            self._count(pair, "compared")

    async def _score(self, pair: _Pair, sample: _Sample) -> tuple[list[float], float]:
        """Return the shadow's margins in input order, and the time that it computed."""
        model, deadline = pair.second, time.monotonic() + _SECONDS
        piece = max(1, int(pair.tokens_per_second * _PIECE_SECONDS))
        request = (await clean(sample.request, model.spec)).read
        jobs = scatter(request, model.capacity, deadline, _CALLER, most_tokens=piece)
        answers: list[Scores] = []
        for job in jobs:
            await self._until_idle(model)
            if not model.can_score:
                raise _Failed("it does not score now")
            if model.quarantine.isolates_any(job.pairs, time.monotonic()):
                raise _Failed("a pair is in quarantine")
            sample.is_begun = True
            answers.append(await model.scorer.probe(job))
            model.presence.used(time.monotonic())
            pair.learn(answers[-1])
        margins = [document.margin for document in gather(jobs, answers, UNCALIBRATED)]
        return margins, sum(scores.compute_ns for scores in answers) / 1e9

    async def _until_idle(self, model: Model) -> None:
        """Wait until no client's request is in a model that shares a device with this one."""
        devices = _devices(model.spec)
        while any(
            self._inside[spec.name] for spec in self._fleet.specs if devices & _devices(spec)
        ):
            await self._left.wait()

    def _failed(self, pair: _Pair, reason: str) -> None:
        pair.last_error = reason
        self._count(pair, "failed")

    def _count(self, pair: _Pair, outcome: str) -> None:
        pair.counts[outcome] += 1
        first, second = pair.first.spec.name, pair.second.spec.name
        self._metrics.shadow_finished(first, second, outcome)

    def status(self) -> tuple[ShadowStatus, ...]:
        """Return a snapshot of the pairs that are configured now."""
        shadowed = [spec for spec in self._fleet.specs if spec.shadow is not None]
        self._pairs = {spec.name: self._pair(spec) for spec in shadowed}
        return tuple(map(self._status, shadowed))

    def _status(self, spec: ModelSpec) -> ShadowStatus:
        assert spec.shadow is not None
        pair = self._pair(spec)
        return ShadowStatus(
            model=spec.name,
            shadow=spec.shadow.model,
            percent=spec.shadow.percent,
            waiting=pair.waiting,
            compared=pair.counts["compared"],
            dropped=pair.counts["dropped"],
            failed=pair.counts["failed"],
            last_error=pair.last_error,
            agreement=pair.window.agreement(),
        )


def _can_be_compared(request: RerankRequest) -> bool:
    """Return whether a request ranks anything: one query, and documents to order."""
    return len(request.queries) == 1 and len(request.documents) > 1


def _is_large(request: RerankRequest) -> bool:
    """Return whether comparing a request would block the event loop for long."""
    characters = sum(len(document.text) for document in request.documents)
    return len(request.documents) > _MOST_DOCUMENTS or characters > _MOST_CHARACTERS


def _devices(spec: ModelSpec) -> set[str]:
    return {shard.device for shard in spec.shards}
