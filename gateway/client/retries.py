"""Retry policy: exponential backoff with jitter, and a retry budget.

A request is retried after 429, after 503, and without a response; never after another error.
Delays double, with a random part so that clients do not return in step, and are never shorter than
the server's `Retry-After`.

All requests of a client share a budget of retries: each request earns a fifth of a retry. So a
server that rejects everything gets a fifth more requests, not several times as many.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retries:
    """Number and delays of retries.

    Attributes:
        tries: maximum number of times that one request is sent; 1 for no retry.
        first_wait_seconds: delay before the first retry; it doubles with each.
        longest_wait_seconds: longest delay of our choice; `Retry-After` may be longer.
    """

    tries: int = 4
    first_wait_seconds: float = 0.2
    longest_wait_seconds: float = 10.0

    def wait_seconds(
        self, attempts: int, retry_after_seconds: float | None, jitter: float
    ) -> float:
        """Return the delay before the next retry.

        Args:
            attempts: number of times that the request was sent, from 1.
            retry_after_seconds: the server's `Retry-After`.
            jitter: a random number in [0, 1).
        """
        doubled = self.first_wait_seconds * 2.0 ** min(attempts - 1, 30)
        if retry_after_seconds is not None:
            return retry_after_seconds + self.first_wait_seconds * jitter
        return min(doubled, self.longest_wait_seconds) * (1 + jitter) / 2


@dataclass(slots=True)
class Budget:
    """The retry budget of a client; see above."""

    left: float = 10.0
    most: float = 10.0
    share: float = 0.2

    def earn(self) -> None:
        """Count a request."""
        self.left = min(self.most, self.left + self.share)

    def spend(self) -> bool:
        """Take one retry; return false if none is left."""
        if self.left < 1:
            return False
        self.left -= 1
        return True
