"""The scoring of a request, each pair at most once.

Equal documents of a request are scored once. A score that is kept is taken from the cache; a pair
that another request has scored now is waited for. The rest is cut into jobs. A pair whose flight
fails is tried again by each request that waited for it, so that no request gets an error that it
would not have met by itself.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain

from msgspec.structs import replace

from gateway.domain.errors import GatewayError
from gateway.domain.job import Job
from gateway.domain.pair_faults import PairFault
from gateway.domain.request import Scored
from gateway.scheduling.admission import AdmissionRequest
from gateway.serving.scatter_gather import cost, is_small, pair_error, scatter
from gateway.serving.score_cache.flights import Flight, Landing
from gateway.serving.score_cache.score_cache import NO_USE, LateScores, ScoreCache
from gateway.serving.score_cache.scoring import Scoring
from gateway.serving.score_cache.stores.claim_rule import Terms, longest_wait
from gateway.serving.shadow_traffic import Shadows

_ROUNDS_WITH_OTHERS = 2  # after it a request scores by itself what others failed to score
_PIECES = 8  # of the time of a request that is answered in part: what is late is one of them
_SMALLEST_PIECE, _FIRST_PIECE = 64, 512  # tokens; the latter before the speed is known
_HASHED_AT_ONCE = 1_000_000  # characters; more are hashed in a thread


class SharedScoring:
    """Scores requests through the score cache."""

    def __init__(self, cache: ScoreCache, shadows: Shadows) -> None:
        self._cache = cache
        self._shadows = shadows

    async def score(self, scoring: Scoring) -> None:
        """Find the scores of all documents.

        Raises:
            GatewayError: why one has none.
        """
        with scoring.model.entered():
            try:
                await scoring.model.occupant.turn()
                await self._score(scoring)
            finally:  # as it was refused, or its client has left before its jobs began
                flights = self._cache.flights
                self._cache.release(key for key in scoring.keys if not flights.find(key))

    async def _score(self, scoring: Scoring) -> None:
        await self._identify(scoring)
        if scoring.use.reads:
            await self._take_kept(scoring)
        rounds = 0
        while missing := scoring.missing:
            try:
                await self._round(scoring, missing, joins=rounds < _ROUNDS_WITH_OTHERS)
            except GatewayError:
                if not await self._has_late(scoring):
                    raise
            rounds += 1

    async def _identify(self, scoring: Scoring) -> None:
        """Find the keys of all pairs; without the cache each document has a key of its own."""
        request, model = scoring.request, scoring.model
        if not self._cache.serves(model):
            scoring.use = NO_USE
            scoring.keys = [index.to_bytes(4) for index in range(len(request.documents))]
            return
        scoring.identity = self._cache.identity(model)
        find = partial(self._cache.keys, request, model, scoring.identity)
        texts = chain(request.queries, (document.text for document in request.documents))
        is_large = sum(map(len, texts)) > _HASHED_AT_ONCE
        scoring.keys = await asyncio.to_thread(find) if is_large else find()

    async def _take_kept(self, scoring: Scoring) -> None:
        """Take what is kept: in memory, and the rest from the stores."""
        for key in scoring.missing:
            if score := self._cache.get(key):
                scoring.found[key] = score
        if not scoring.identity.stored or not (missing := scoring.missing):
            return
        may_claim = scoring.use.keeps and self._cache.stores.claims is not None
        terms = _terms(scoring, missing.values()) if may_claim else None
        read = await self._cache.read(scoring.identity, list(missing), terms)
        scoring.elsewhere, scoring.late = read.elsewhere, read.late
        self._take(scoring, read.found)

    def _take(self, scoring: Scoring, found: Mapping[bytes, Scored]) -> None:
        """Take scores from the stores, if they are valid now."""
        if self._cache.identity(scoring.model).revision == scoring.identity.revision:
            scoring.found = {**found, **scoring.found}

    async def _has_late(self, scoring: Scoring) -> bool:
        """Wait for a late read; return whether it has brought scores, so that less is needed."""
        late, scoring.late = scoring.late, None
        if late is None:
            return False
        before = len(scoring.found)
        self._take(scoring, await late)
        return len(scoring.found) > before

    def _take_late(
        self,
        scoring: Scoring,
        late: LateScores,
        waits: Mapping[asyncio.Task[None], Sequence[bytes]],
    ) -> None:
        """Take the scores of a late read, and end the waits that are no longer needed."""
        if late.cancelled() or late.exception():
            return
        self._take(scoring, late.result())
        for task, keys in waits.items():
            if all(key in scoring.found for key in keys):
                task.cancel()

    async def _wait(self, scoring: Scoring, elsewhere: Mapping[bytes, int]) -> None:
        """Wait for scores of other gateways; what does not come in time is left missing."""
        terms = _terms(scoring, elsewhere.values())
        found = await self._cache.wait(scoring.identity, elsewhere, longest_wait(terms))
        self._take(scoring, found)

    async def _round(self, scoring: Scoring, missing: dict[bytes, int], *, joins: bool) -> None:
        """Wait for flights of others and other gateways, and for its own jobs for the rest."""
        joined = self._joined(scoring, missing) if joins and scoring.use.reads else {}
        flying = set(chain.from_iterable(joined.values()))
        away = {key: missing[key] for key in scoring.elsewhere - flying if key in missing}
        scoring.elsewhere = set()  # the next round scores what has not come
        others = flying.union(away)
        own = self._start(scoring, [index for key, index in missing.items() if key not in others])
        late = scoring.late
        if len(own) == 1 and not others and late is None:
            await self._own(scoring, own[0])
            return
        try:
            async with asyncio.TaskGroup() as group:
                begin = group.create_task
                waits = {begin(self._own(scoring, flight)): flight.keys for flight in own}
                for flight, keys in joined.items():
                    waits[begin(_join(scoring, flight, keys))] = keys
                if away:
                    waits[begin(self._wait(scoring, away))] = list(away)
                if late is not None:
                    late.add_done_callback(lambda read: self._take_late(scoring, read, waits))
        except ExceptionGroup as failed:
            raise _first(failed) from None

    def _joined(self, scoring: Scoring, missing: dict[bytes, int]) -> dict[Flight, list[bytes]]:
        """Return the flights of others that a request waits for, and the pairs of each."""
        flights = self._cache.flights
        found = {key: flight for key in missing if (flight := flights.find(key))}
        if not found:
            return {}
        small = is_small(scoring.request, scoring.model.capacity)
        joined: dict[Flight, list[bytes]] = {}
        for key, flight in found.items():
            # A small request overtakes large ones, so it does not wait for a job of one.
            if flight.job.is_small or not small:
                joined.setdefault(flight, []).append(key)
        return joined

    def _start(self, scoring: Scoring, indices: Sequence[int]) -> list[Flight]:
        """Start the jobs of the documents that the request has scored itself.

        Raises:
            GatewayError: why they are not admitted.
        """
        if not indices:
            return []
        model = scoring.model
        jobs = scatter(
            scoring.request,
            model.capacity,
            scoring.deadline,
            scoring.caller,
            scoring.timeline,
            indices=indices,
            piece_tokens=self._piece_tokens(scoring),
        )
        admission = AdmissionRequest(
            tokens=_tokens_in_time(scoring, jobs),
            least_tokens=jobs[0].tokens if scoring.is_partial else 0,
            is_small=jobs[0].is_small,
            caller=scoring.caller,
            remaining_seconds=scoring.left_seconds,
        )
        admitted = ExitStack()
        admitted.enter_context(model.admitted(admission, has_entered=True))
        admitted.enter_context(self._shadows.paused_for(model.spec.name))
        flights = [self._fly(scoring, job) for job in jobs]
        _close_after(admitted, flights)
        return flights

    def _piece_tokens(self, scoring: Scoring) -> int | None:
        """Return the size of the pieces of a request that is answered in part, if it may be."""
        if not scoring.is_partial:
            return None
        known = scoring.model.tokens_in(scoring.left_seconds / _PIECES)
        if not known:  # a batch at most: several could take the whole time
            return min(_FIRST_PIECE, scoring.model.replicas.token_budget)
        return max(_SMALLEST_PIECE, known)

    def _fly(self, scoring: Scoring, job: Job) -> Flight:
        keys = [scoring.keys[index] for index in job.indices]
        flight = Flight(keys, job, scoring.model.scorer.score(job))
        if scoring.use.keeps:
            self._cache.flights.add(flight)
            flight.when_done(lambda landing: self._keep(scoring, flight, landing))
        return flight

    def _keep(self, scoring: Scoring, flight: Flight, landing: Landing | None) -> None:
        """Keep the scores of a flight, under the identity of the model that has scored."""
        keys, identity = flight.keys, self._cache.identity(scoring.model)
        if landing is None or identity.revision != scoring.identity.revision:
            self._cache.release(keys)
            return
        if identity != scoring.identity:  # the model has been loaded since
            self._cache.release(keys)
            part = scoring.request.only(flight.job.indices)
            keys = self._cache.keys(part, scoring.model, identity)
        self._cache.put(identity, zip(keys, landing.scored.values(), strict=True))

    async def _own(self, scoring: Scoring, flight: Flight) -> None:
        try:
            landing = await flight.landing()
        except PairFault as fault:
            facts = scoring.model.replicas.facts
            raise pair_error(fault, scoring.request, flight.job, facts) from None
        scoring.answers.append(landing.answer)
        scoring.found |= landing.scored


async def _join(scoring: Scoring, flight: Flight, keys: Sequence[bytes]) -> None:
    """Take scores from a flight of another request; its failure leaves them missing."""
    try:
        landing = await flight.landing()
    except (GatewayError, PairFault):
        return
    for key in keys:
        scoring.found[key] = replace(landing.scored[key], source="joined")


def _terms(scoring: Scoring, indices: Collection[int]) -> Terms:
    """Return the terms on which some documents may be claimed."""
    model = scoring.model
    tokens = cost(scoring.request, model.capacity, list(indices))
    replicas = max(1, len(model.replicas.ready))
    ahead = model.seconds_of(model.admitted_tokens) / replicas
    return Terms(model.seconds_of(tokens) / replicas, ahead, scoring.left_seconds)


def _tokens_in_time(scoring: Scoring, jobs: Sequence[Job]) -> int:
    """Return the cost of jobs; of a request that is answered in part, until its deadline."""
    tokens, model = sum(job.tokens for job in jobs), scoring.model
    in_time = model.tokens_in(scoring.left_seconds) * len(model.replicas.ready)
    if not scoring.is_partial or not in_time:
        return tokens
    return max(jobs[0].tokens, min(tokens, in_time))  # what is late is withdrawn


def _close_after(admitted: ExitStack, flights: Sequence[Flight]) -> None:
    """Count a request out when the last of its jobs has ended, even if its client has left."""
    flying = len(flights)

    def land(_: Landing | None) -> None:
        nonlocal flying
        flying -= 1
        if not flying:
            admitted.close()

    for flight in flights:
        flight.when_done(land)


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """Return the first error of a group, however deep it lies."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error
