"""What a shard has done, in numbers. Pure: time is passed in, in seconds."""

from collections import deque

_RATE_SECONDS = 10.0
_LATENCIES = 512


class Tally:
    """Counts since the gateway started, and the last latencies.

    Attributes:
        documents: documents scored.
        tokens: tokens read for them.
    """

    def __init__(self) -> None:
        self.documents = 0
        self.tokens = 0
        self._latencies: deque[float] = deque(maxlen=_LATENCIES)
        self._recent: deque[tuple[float, int]] = deque()

    def add(self, *, documents: int, tokens: int, seconds: float, now: float) -> None:
        """Count one answered job that took `seconds`."""
        self.documents += documents
        self.tokens += tokens
        self._latencies.append(seconds)
        self._recent.append((now, documents))
        self._forget(now)

    def documents_per_second(self, now: float) -> float:
        """Return the rate over the last ten seconds."""
        self._forget(now)
        return sum(documents for _, documents in self._recent) / _RATE_SECONDS

    def latency_seconds(self, share: float) -> float:
        """Return the latency that this share of the last jobs did not pass; 0 before the first."""
        if not self._latencies:
            return 0.0
        ordered = sorted(self._latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0][0] <= now - _RATE_SECONDS:
            self._recent.popleft()
