"""Requests that end the shard which scores them. Pure: time is passed in, in seconds.

When a shard crashes or hangs, the jobs it was at become *suspects*. Their pairs are scored again one
by one, each alone in one designated replica, so that nothing else can be taken down with it. What
comes through was innocent, and its answer is as good as any. If the shard ends again, the pair that
it was at did it: its request is refused, and so is, for ten minutes, every request that
holds the same pair. So no pair costs more than two shards, and no neighbour of one ever fails.

While a pair is a suspect, other requests that hold it wait for the verdict: copies of a poison that
come at once would otherwise end one shard after the other.

A shard that was ended from outside (SIGKILL, SIGTERM, found stopped by SIGSTOP) says nothing about
its jobs. What is remembered is a keyed hash, never the text.
"""

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Iterable

_TTL_SECONDS = 600.0
_MOST = 10_000


class Poison(Exception):
    """A pair of the job has ended two shards.

    Attributes:
        place: its place in the job.
    """

    def __init__(self, place: int) -> None:
        super().__init__(f"pair {place} ended two shards")
        self.place = place


class Held(Exception):
    """A pair of the job is under suspicion: the job waits for the verdict."""


class Quarantine:
    """The pairs of one model that are refused, and those that are under suspicion.

    Attributes:
        convictions: how many pairs have been refused so far.
    """

    def __init__(self, key: bytes) -> None:
        self.convictions = 0
        self._key = key
        self._until: OrderedDict[bytes, float] = OrderedDict()
        self._suspects: Counter[bytes] = Counter()

    def __len__(self) -> int:
        return len(self._until)

    def add(self, query: str, document: str, now: float) -> None:
        """Refuse this pair from now on, for a while."""
        self.convictions += 1
        self._until[self._fingerprint(query, document)] = now + _TTL_SECONDS
        if len(self._until) > _MOST:
            self._until.popitem(last=False)

    def holds(self, query: str, document: str, now: float) -> bool:
        """Whether this pair is refused."""
        self._forget(now)
        return bool(self._until) and self._fingerprint(query, document) in self._until

    def suspect(self, query: str, document: str) -> None:
        """Let others with this pair wait until `absolve` is called as often."""
        self._suspects[self._fingerprint(query, document)] += 1

    def absolve(self, query: str, document: str) -> None:
        """End a suspicion, whatever came of it."""
        self._suspects -= Counter({self._fingerprint(query, document): 1})  # drops what is zero

    def objection(
        self, pairs: Iterable[tuple[str, str]], known: int, now: float, *, is_suspect: bool
    ) -> Poison | Held | None:
        """Say why a job must not reach a shard now.

        Args:
            pairs: its queries and documents.
            known: the convictions that have been held against it before.
            now: monotonic seconds.
            is_suspect: whether the job is there to be tried.
        """
        is_news = self.convictions != known
        if not is_news and (is_suspect or not self._suspects):
            return None
        for place, pair in enumerate(pairs):
            if is_news and self.holds(*pair, now):
                return Poison(place)
            if not is_suspect and self._fingerprint(*pair) in self._suspects:
                return Held()
        return None

    def _forget(self, now: float) -> None:
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)

    def _fingerprint(self, query: str, document: str) -> bytes:
        lengths = len(query).to_bytes(8, "little")
        return hashlib.blake2b(
            lengths + query.encode() + document.encode(), key=self._key, digest_size=16
        ).digest()
