"""Requests that end the shard which scores them. Pure: time is passed in, in seconds.

When a shard crashes or hangs, the pairs of the jobs it was at become *suspects*. Suspects are scored
one by one, each alone in one designated replica, so that nothing else can be taken down with it.
What comes through was innocent, and its answer is as good as any. If the shard ends again, the pair
that it was at did it: its request is refused, and so is, for ten minutes, every request that holds
the same pair. So no pair costs more than two shards, and no neighbour of one ever fails.

Variations of a text that was refused (`kinship`) are new pairs, and would cost two shards each. Once
there is a family of them, whatever resembles it is scored alone from the start: it ends one shard at
most, takes nobody with it, and is refused at once; or it comes through like everything else. The same goes
for all that a key sends which had several pairs refused lately (`confinement`), whatever it is. And a model
whose only replica ends again and again leaves some time between one suspect and the next, so that
everybody else is served in between.

Suspicion and guilt belong to the pair, not to the request: a client that gives up before its pair
is found guilty, and asks again, does not start the count anew.

A shard that was ended from outside (SIGKILL, SIGTERM, found stopped by SIGSTOP) says nothing about
its jobs. What is remembered is a keyed hash, never the text.
"""

import hashlib
from collections import OrderedDict, deque
from collections.abc import Iterable

from gateway.confinement import Confinement
from gateway.kinship import Kinship

_TTL_SECONDS = 600.0
_MOST = 10_000
_BUSY_DEATHS = 4  # within a minute; from here on suspects take turns with everybody else
_MINUTE = 60.0
_LONGEST_REST_SECONDS = 5.0


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
        self._kinship = Kinship()
        self._confinement = Confinement()
        self._deaths: deque[float] = deque(maxlen=64)

    @property
    def refused_pairs(self) -> int:
        """How many pairs are refused."""
        return len(self._refused)

    def shard_ended(self, now: float) -> None:
        """Remember that a shard ended and left suspects."""
        self._deaths.append(now)

    @property
    def last_death(self) -> float:
        """When a shard ended last and left suspects."""
        return self._deaths[-1] if self._deaths else float("-inf")

    def rest_until(self, now: float) -> float:
        """Return when the next suspect may be tried where everybody else would have to wait for it."""
        while self._deaths and self._deaths[0] <= now - _MINUTE:
            self._deaths.popleft()
        if len(self._deaths) <= _BUSY_DEATHS:
            return now
        rest = min(_LONGEST_REST_SECONDS, 0.5 * (len(self._deaths) - _BUSY_DEATHS))
        return self._deaths[-1] + rest

    def __bool__(self) -> bool:
        """Whether any pair is remembered: mostly none is, and nobody need be asked about."""
        return bool(self._suspected) or bool(self._refused)

    def suspect(self, query: str, document: str, now: float) -> None:
        """Remember that a shard ended while it was at this pair, among others."""
        self.version += 1
        self._suspected.add(self._fingerprint(query, document), now)

    def clear(self, query: str, document: str) -> None:
        """Remember that this pair came through alone."""
        if self._suspected:
            self._suspected.remove(self._fingerprint(query, document))

    def refuse(self, query: str, document: str, now: float, caller: str = "") -> bool:
        """Refuse this pair from now on, for a while; return whether who has sent it is confined for that."""
        self.version += 1
        self.clear(query, document)
        self._refused.add(self._fingerprint(query, document), now)
        self._kinship.refused(document, now)
        was_confined = self.confines(caller, now)
        self._confinement.refused(caller, now)
        return self.confines(caller, now) and not was_confined

    def is_suspected(self, query: str, document: str, now: float) -> bool:
        return self._knows(self._suspected, query, document, now)

    def is_refused(self, query: str, document: str, now: float) -> bool:
        return self._knows(self._refused, query, document, now)

    def confined(self, now: float) -> tuple[str, ...]:
        """Return the ids of the callers whose pairs are all scored alone."""
        return self._confinement.callers(now)

    def confines(self, caller: str, now: float) -> bool:
        """Whether all pairs of this caller are scored alone."""
        return self._confinement.confines(caller, now)

    def knows_any(self, pairs: Iterable[tuple[str, str]], now: float, caller: str = "") -> bool:
        """Whether one of these pairs must be scored alone: it is a suspect, refused, like those
        that are, or from somebody who has sent several of them."""
        if not self:
            return False
        if self.confines(caller, now):
            return True
        is_wary = self._kinship.is_wary(now)
        return any(
            self.is_suspected(query, document, now)
            or self.is_refused(query, document, now)
            or (is_wary and self._kinship.resembles(document))
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
