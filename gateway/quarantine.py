"""Requests that end the shard which scores them. Pure: time is passed in, in seconds.

When a shard crashes or hangs, the jobs it was at become *suspects*. Their pairs are scored again one
by one, each alone in one designated replica, so that nothing else can be taken down with it. What
comes through was innocent, and its answer is as good as any. If the shard ends again, the pair that
it was at did it: its request is refused, and so is, for ten minutes, every request that
holds the same pair. So no pair costs more than two shards, and no neighbour of one ever fails.

A shard that was ended from outside (SIGKILL, SIGTERM, found stopped by SIGSTOP) says nothing about
its jobs. What is remembered is a keyed hash, never the text.
"""

import hashlib
from collections import OrderedDict

_TTL_SECONDS = 600.0
_MOST = 10_000


class Quarantine:
    """The pairs of one model that are refused."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def add(self, query: str, document: str, now: float) -> None:
        """Refuse this pair from now on, for a while."""
        self._until[self._fingerprint(query, document)] = now + _TTL_SECONDS
        if len(self._until) > _MOST:
            self._until.popitem(last=False)

    def holds(self, query: str, document: str, now: float) -> bool:
        """Whether this pair is refused."""
        self._forget(now)
        return bool(self._until) and self._fingerprint(query, document) in self._until

    def _forget(self, now: float) -> None:
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)

    def _fingerprint(self, query: str, document: str) -> bytes:
        lengths = len(query).to_bytes(8, "little")
        return hashlib.blake2b(
            lengths + query.encode() + document.encode(), key=self._key, digest_size=16
        ).digest()
