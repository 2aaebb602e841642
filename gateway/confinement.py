"""Keys that send poison again and again. Pure: time is passed in, in seconds.

A poison that has nothing in common with those before it (`kinship`) would cost two shards each time, and take
neighbours into suspicion. So who had several pairs refused lately has all pairs scored alone, on the
one replica that suspects have: nothing it sends can end a shard that is at work for somebody else, and what
it sends by mistake is answered, later. Whoever comes without a key is not told apart, and not confined.
"""

from collections import deque

_ENOUGH = 3  # refused pairs
_WITHIN_SECONDS = 600.0


class Confinement:
    """Which callers are confined, at one model."""

    def __init__(self) -> None:
        self._refused: dict[str, deque[float]] = {}  # when, of those who had pairs refused

    def refused(self, caller: str, now: float) -> None:
        """Remember that a pair of this caller was refused."""
        if caller:
            self._refused.setdefault(caller, deque(maxlen=_ENOUGH)).append(now)

    def confines(self, caller: str, now: float) -> bool:
        """Whether all pairs of this caller are scored alone."""
        times = self._refused.get(caller, deque[float]())
        return len(times) == _ENOUGH and times[0] > now - _WITHIN_SECONDS

    def callers(self, now: float) -> tuple[str, ...]:
        """Return who is confined."""
        return tuple(caller for caller in self._refused if self.confines(caller, now))
