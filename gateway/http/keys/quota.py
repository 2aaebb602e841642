"""Limits of a key: requests per minute and concurrent requests. Pure: time is passed in.

The rate limit is a token bucket that holds the requests of one minute. It is full at first, each
request takes one, and it refills evenly; so a key may use its minute at once, and then has to wait.
"""

from dataclasses import dataclass, field

from gateway.domain.errors import TooManyAtOnce, TooManyRequests

_MINUTE = 60.0
_AT_ONCE_RETRY_SECONDS = 1
"""A guess: the end of an open request cannot be predicted."""


@dataclass(slots=True)
class Bucket:
    """A token bucket of requests.

    Attributes:
        per_minute: its size, and its refill per minute.
        left: the requests in it at the time `at`.
        at: monotonic seconds.
    """

    per_minute: int
    left: float
    at: float

    @classmethod
    def full(cls, per_minute: int, now: float) -> "Bucket":
        return cls(per_minute, float(per_minute), now)

    def fill(self, now: float) -> None:
        """Refill it for the time since the last refill."""
        grown = max(0.0, now - self.at) * self.per_minute / _MINUTE
        self.left = min(float(self.per_minute), self.left + grown)
        self.at = max(self.at, now)

    def take(self, now: float) -> float:
        """Take a request; if there is none, return the seconds until there is one."""
        self.fill(now)
        if self.left >= 1.0:
            self.left -= 1.0
            return 0.0
        return (1.0 - self.left) * _MINUTE / self.per_minute

    @property
    def full_seconds(self) -> float:
        """The seconds until it is full again."""
        return (self.per_minute - self.left) * _MINUTE / self.per_minute


@dataclass(slots=True)
class Usage:
    """Usage of one key since the gateway started.

    Attributes:
        open: requests in progress.
        requests: requests that were accepted.
        refused: requests that were refused, by a limit or for their model.
        documents, tokens: what was scored.
        bucket: the rate limit, if the key has one.
    """

    open: int = 0
    requests: int = 0
    refused: int = 0
    documents: int = 0
    tokens: int = 0
    bucket: Bucket | None = field(default=None, repr=False)

    def limit(self, requests_per_minute: int | None, now: float) -> None:
        """Change the rate limit; what was used under the old one counts."""
        if requests_per_minute is None:
            self.bucket = None
        elif self.bucket is None:
            self.bucket = Bucket.full(requests_per_minute, now)
        elif self.bucket.per_minute != requests_per_minute:
            self.bucket.fill(now)
            share = self.bucket.left / self.bucket.per_minute
            self.bucket = Bucket(requests_per_minute, share * requests_per_minute, now)

    def enter(self, concurrency: int | None, now: float) -> None:
        """Count a request in; call `leave` after its reply.

        Raises:
            TooManyAtOnce: too many requests are open.
            TooManyRequests: the rate limit is used up.
        """
        if concurrency is not None and self.open >= concurrency:
            raise TooManyAtOnce(
                f"{concurrency} requests of this API key are being answered, and that is its "
                "limit: wait for one of them",
                retry_after_seconds=_AT_ONCE_RETRY_SECONDS,
            )
        wait = self.bucket.take(now) if self.bucket else 0.0
        if self.bucket and wait:
            raise TooManyRequests(
                f"this API key may make {self.bucket.per_minute} requests per minute, and has: "
                f"there will be another in {wait:.1f} s",
                retry_after_seconds=max(1, -int(-wait // 1)),
            )
        self.open += 1
        self.requests += 1

    def leave(self) -> None:
        """Count a request out that was counted in."""
        self.open -= 1

    def headers(self, wall_seconds: float) -> dict[str, str]:
        """Return rate-limit headers for clients; `wall_seconds` since the Unix epoch.

        OpenAI's headers have `requests` in their names and a duration; Cohere's client reads the
        time of the reset.
        """
        if self.bucket is None:
            return {}
        seconds = self.bucket.full_seconds
        return {
            "x-ratelimit-limit-requests": str(self.bucket.per_minute),
            "x-ratelimit-remaining-requests": str(int(self.bucket.left)),
            "x-ratelimit-reset-requests": f"{seconds:.3f}s",
            "x-ratelimit-reset": str(-int(-(wall_seconds + seconds) // 1)),
        }
