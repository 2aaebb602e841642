"""What a key may use: requests per minute and requests at a time. Pure: time is passed in.

The rate is a bucket of as many requests as the key has per minute. It is full at first, each request
takes one, and it fills up evenly; so a key may use its minute at once, and then has to wait.
"""

from dataclasses import dataclass, field

from gateway.errors import TooManyAtOnce, TooManyRequests

_MINUTE = 60.0
_AT_ONCE_RETRY_SECONDS = 1
"""Nobody can know when one of the open requests will end."""


@dataclass(slots=True)
class Bucket:
    """Requests that may still be made.

    Attributes:
        per_minute: the size of the bucket, and how much comes back in a minute.
        left: how many there are, at the time `at`, in seconds.
    """

    per_minute: int
    left: float
    at: float

    @classmethod
    def full(cls, per_minute: int, now: float) -> "Bucket":
        return cls(per_minute, float(per_minute), now)

    def fill(self, now: float) -> None:
        """Add what has come back since the last time."""
        grown = max(0.0, now - self.at) * self.per_minute / _MINUTE
        self.left = min(float(self.per_minute), self.left + grown)
        self.at = max(self.at, now)

    def take(self, now: float) -> float:
        """Take one; or take none, and return after how many seconds there will be one."""
        self.fill(now)
        if self.left >= 1.0:
            self.left -= 1.0
            return 0.0
        return (1.0 - self.left) * _MINUTE / self.per_minute

    @property
    def full_seconds(self) -> float:
        """How long until it is full again."""
        return (self.per_minute - self.left) * _MINUTE / self.per_minute


@dataclass(slots=True)
class Usage:
    """What one key has used since the gateway started.

    Attributes:
        open: requests that are being answered.
        requests: requests that were let in.
        refused: requests that were not, by their limits or for their model.
        documents, tokens: what was scored.
    """

    open: int = 0
    requests: int = 0
    refused: int = 0
    documents: int = 0
    tokens: int = 0
    bucket: Bucket | None = field(default=None, repr=False)

    def limit(self, requests_per_minute: int | None, now: float) -> None:
        """Have this limit from now on; what was used under another counts."""
        if requests_per_minute is None:
            self.bucket = None
        elif self.bucket is None:
            self.bucket = Bucket.full(requests_per_minute, now)
        elif self.bucket.per_minute != requests_per_minute:
            self.bucket.fill(now)
            share = self.bucket.left / self.bucket.per_minute
            self.bucket = Bucket(requests_per_minute, share * requests_per_minute, now)

    def enter(self, concurrency: int | None, now: float) -> None:
        """Count a request in; call `leave` when it has been answered.

        Raises:
            TooManyAtOnce: too many are open.
            TooManyRequests: there were too many in the last minute.
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
        """Return what clients know as rate-limit headers; `wall_seconds` since the Unix epoch.

        OpenAI's have names with `requests` and a duration; Cohere's client reads a moment.
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
