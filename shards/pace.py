"""How long the next batch should take, learnt from those before. Pure: times are passed in, in ns.

The shard writes its expectation into the arena before each batch, so that the gateway can tell a
slow batch from a hung device without knowing the model. A batch costs something however small it is
(a launch, a network round trip, a slow disk), and something for each token: `floor + slope * tokens`.
It need not be exact: the gateway waits a multiple of it, and never less than two seconds.
"""

_LEARNING_RATE = 0.2
_FLOOR_GROWTH = 1.05  # a batch, so that a device that has become slower is believed in the end


class Pace:
    """What a batch of one engine costs."""

    def __init__(self) -> None:
        self._floor_ns = 0.0
        self._ns_per_token = 0.0

    def expected_ns(self, tokens: int) -> int:
        """Return how long a batch of so many tokens should take; 0 before the first one."""
        return int(self._floor_ns + tokens * self._ns_per_token)

    def learn(self, tokens: int, ns: int) -> None:
        """Note that a batch of so many tokens, padding included, took so long."""
        self._floor_ns = min(ns, self._floor_ns * _FLOOR_GROWTH) if self._floor_ns else ns
        slope = (ns - self._floor_ns) / tokens
        rate = _LEARNING_RATE if self._ns_per_token else 1.0  # the first one is all there is
        self._ns_per_token += (slope - self._ns_per_token) * rate
