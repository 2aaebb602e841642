"""How long the next batch should take, learnt from those before. Pure: times are passed in, in ns.

The shard writes its expectation into the arena before each batch, so that the gateway can tell a
slow batch from a hung device without knowing the model. It need not be exact: the gateway waits a
multiple of it, and never less than two seconds.
"""

_LEARNING_RATE = 0.2


class Pace:
    """Nanoseconds per token of one engine."""

    def __init__(self) -> None:
        self._ns_per_token = 0.0

    def expected_ns(self, tokens: int) -> int:
        """Return how long a batch of so many tokens should take; 0 before the first one."""
        return int(tokens * self._ns_per_token)

    def learn(self, tokens: int, ns: int) -> None:
        """Note that a batch of so many tokens, padding included, took so long."""
        seen = ns / tokens
        if not self._ns_per_token:
            self._ns_per_token = seen
        self._ns_per_token += (seen - self._ns_per_token) * _LEARNING_RATE
