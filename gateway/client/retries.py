"""When to try again, and when to let it be.

A request is tried again when the server says that it has too much to do (429), that nothing can
score now (503), or does not answer at all; never after a refusal. Waits double, with a random part
so that clients do not come back in step, and are never shorter than the server's `Retry-After`.

Retries are paid from a budget that the client's requests share: each request earns a fifth of a
retry, so a server that refuses everything is not asked several times as much as one that is well.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retries:
    """How often and how soon.

    Attributes:
        tries: how often one request is sent at most; 1 for never again.
        first_wait_seconds: the wait before the second try; it doubles with each.
        longest_wait_seconds: the longest wait that we choose; the server may choose a longer one.
    """

    tries: int = 4
    first_wait_seconds: float = 0.2
    longest_wait_seconds: float = 10.0

    def wait_seconds(self, tried: int, asked_seconds: float | None, chance: float) -> float:
        """Return the wait after so many tries.

        Args:
            tried: how often it was sent, from 1.
            asked_seconds: the server's `Retry-After`.
            chance: a random number in [0, 1).
        """
        doubled = self.first_wait_seconds * 2.0 ** min(tried - 1, 30)
        if asked_seconds is not None:
            return asked_seconds + self.first_wait_seconds * chance
        return min(doubled, self.longest_wait_seconds) * (1 + chance) / 2


@dataclass(slots=True)
class Budget:
    """Retries that a client may still make; see above."""

    left: float = 10.0
    most: float = 10.0
    share: float = 0.2

    def earn(self) -> None:
        """Count a request."""
        self.left = min(self.most, self.left + self.share)

    def spend(self) -> bool:
        """Take one retry; return whether there was one."""
        if self.left < 1:
            return False
        self.left -= 1
        return True
