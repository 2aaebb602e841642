"""Quarantine of pairs that end the shard which scores them. Pure: time is passed in, in seconds.

A document that crashes its shard is retried once, in isolation; it can take down at most two
shards. When a shard crashes or hangs, the pairs of the jobs that it was scoring become *suspects*.
Suspects are scored one by one, each with nothing beside it in one designated replica, so that
nothing else is lost with it. A suspect that is scored was innocent, and its answer is as good as
any. If the shard ends again, the pair that it was scoring is the cause: its request is refused, and
so is, for ten minutes, every request with the same pair. So no neighbour of such a pair ever fails.

Variations of a refused text (`text_similarity`) are new pairs, and would cost two shards each. Once
there are several, each document that resembles them is scored in isolation from the start: it ends
one shard at most, takes no neighbour with it, and is refused at once; or it is scored like
everything else. The same holds for all pairs of a *confined* caller: a key that had several pairs
refused lately, whatever they have in common. Callers without a key are one caller, and never
confined.

A model whose only replica ends repeatedly leaves some time between one suspect and the next, so
that all other jobs are scored in between.

Suspicion and guilt belong to the pair, not to the request: a client that gives up before its pair
is refused, and asks again, does not reset the count.

A shard that was ended from outside (SIGKILL, SIGTERM, found stopped by SIGSTOP) raises no suspicion
about its jobs. The quarantine keeps a keyed hash of a pair, never its text.
"""

import hashlib
from collections import OrderedDict, deque
from collections.abc import Iterable

from gateway.scheduling.text_similarity import RefusedTexts

_TTL_SECONDS = 600.0
_MOST = 10_000
_BUSY_DEATHS = 4  # within a minute; beyond it suspects alternate with all other jobs
_MINUTE = 60.0
_LONGEST_REST_SECONDS = 5.0
_CONFINING_REFUSALS = 3  # of pairs of one caller, within the time that they are remembered


class Quarantine:
    """The suspected and the refused pairs of one model.

    Attributes:
        version: changes whenever a pair becomes a suspect or is refused.
    """

    def __init__(self, key: bytes) -> None:
        self.version = 0
        self._key = key
        self._suspected = _Memory()
        self._refused = _Memory()
        self._refused_texts = RefusedTexts()
        self._refusals: dict[str, deque[float]] = {}  # times, by caller
        self._deaths: deque[float] = deque(maxlen=64)

    @property
    def refused_pairs(self) -> int:
        """The number of refused pairs."""
        return len(self._refused)

    def shard_ended(self, now: float) -> None:
        """Note that a shard ended and left suspects."""
        self._deaths.append(now)

    @property
    def last_death(self) -> float:
        """The time when a shard last ended and left suspects."""
        return self._deaths[-1] if self._deaths else float("-inf")

    def rest_until(self, now: float) -> float:
        """Return when the next suspect may be scored in a model's only replica."""
        while self._deaths and self._deaths[0] <= now - _MINUTE:
            self._deaths.popleft()
        if len(self._deaths) <= _BUSY_DEATHS:
            return now
        rest = min(_LONGEST_REST_SECONDS, 0.5 * (len(self._deaths) - _BUSY_DEATHS))
        return self._deaths[-1] + rest

    def __bool__(self) -> bool:
        """Return whether any pair is remembered; mostly none is, and no pair need be looked up."""
        return bool(self._suspected) or bool(self._refused)

    def suspect(self, query: str, document: str, now: float) -> None:
        """Remember that a shard ended while it was scoring this pair, among others."""
        self.version += 1
        self._suspected.add(self._fingerprint(query, document), now)

    def clear(self, query: str, document: str) -> None:
        """Forget the suspicion: the pair was scored in isolation."""
        if self._suspected:
            self._suspected.remove(self._fingerprint(query, document))

    def refuse(self, query: str, document: str, now: float, caller: str = "") -> bool:
        """Refuse this pair from now on; return whether its caller becomes confined by that."""
        self.version += 1
        self.clear(query, document)
        self._refused.add(self._fingerprint(query, document), now)
        self._refused_texts.add(document, now)
        was_confined = self.confines(caller, now)
        if caller:
            self._refusals.setdefault(caller, deque(maxlen=_CONFINING_REFUSALS)).append(now)
        return self.confines(caller, now) and not was_confined

    def is_suspected(self, query: str, document: str, now: float) -> bool:
        return self._knows(self._suspected, query, document, now)

    def is_refused(self, query: str, document: str, now: float) -> bool:
        return self._knows(self._refused, query, document, now)

    def confined(self, now: float) -> tuple[str, ...]:
        """Return the ids of the callers that are confined."""
        return tuple(caller for caller in self._refusals if self.confines(caller, now))

    def confines(self, caller: str, now: float) -> bool:
        """Return whether all pairs of this caller are scored in isolation."""
        times = self._refusals.get(caller, deque[float]())
        return len(times) == _CONFINING_REFUSALS and times[0] > now - _TTL_SECONDS

    def isolates_any(self, pairs: Iterable[tuple[str, str]], now: float, caller: str = "") -> bool:
        """Return whether one of these pairs must be scored in isolation.

        It is a suspect, it is refused, it resembles those that are, or its caller is confined.
        """
        if not self:
            return False
        if self.confines(caller, now):
            return True
        compares_texts = self._refused_texts.are_enough(now)
        return any(
            self.is_suspected(query, document, now)
            or self.is_refused(query, document, now)
            or (compares_texts and self._refused_texts.resemble(document))
            for query, document in pairs
        )

    def _knows(self, memory: "_Memory", query: str, document: str, now: float) -> bool:
        memory.forget(now)
        return bool(memory) and self._fingerprint(query, document) in memory

    def _fingerprint(self, query: str, document: str) -> bytes:
        length = len(query).to_bytes(8, "little")
        text = length + query.encode() + document.encode()
        return hashlib.blake2b(text, key=self._key, digest_size=16).digest()


class _Memory:
    """Fingerprints for ten minutes, the oldest first."""

    def __init__(self) -> None:
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def __contains__(self, fingerprint: bytes) -> bool:
        return fingerprint in self._until

    def add(self, fingerprint: bytes, now: float) -> None:
        self._until[fingerprint] = now + _TTL_SECONDS
        self._until.move_to_end(fingerprint)
        if len(self._until) > _MOST:
            self._until.popitem(last=False)

    def remove(self, fingerprint: bytes) -> None:
        self._until.pop(fingerprint, None)

    def forget(self, now: float) -> None:
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)
