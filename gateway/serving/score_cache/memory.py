"""The scores in memory: bounded in bytes and in age.

Eviction is TinyLFU (moka): a pair that is asked for often is not pushed out by many that are asked
for once.
"""

from moka_py import Moka

from gateway.domain.request import Scored
from gateway.serving.score_cache.packed_score import unpack

ENTRY_BYTES = 640
"""The memory of one score, with its key and its place in the cache; `scripts/score-cache` measures
438 to 557 bytes."""


class MemoryScores:
    """Scores by the key of their pair.

    Args:
        megabytes: the bound on their memory, in MiB.
        seconds: the age after which a score is forgotten.
    """

    def __init__(self, megabytes: int, seconds: float) -> None:
        self._scores: Moka[bytes, bytes] = Moka(megabytes * 1024**2 // ENTRY_BYTES, ttl=seconds)

    @property
    def entries(self) -> int:
        """The number of kept scores."""
        self._scores.run_pending_tasks()
        return self._scores.count()

    def get(self, key: bytes) -> Scored | None:
        """Return the score of a pair, if it is kept."""
        packed = self._scores.get(key)
        return None if packed is None else unpack(packed)

    def put(self, key: bytes, packed: bytes, seconds: float | None = None) -> None:
        """Keep the packed score of a pair; if it is not new, for the seconds that are left."""
        self._scores.set(key, packed, ttl=seconds)

    def clear(self) -> None:
        """Forget all scores."""
        self._scores.clear()
