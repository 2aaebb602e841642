"""May this request enter, now? Pure.

A request is let in if it can be expected to be answered in time: what is ahead of it, and the work
it brings, over the rate at which the model's replicas have been working, against four fifths of the
time it has left. Otherwise it is refused at once with a Retry-After that is the wait it would have
been short of: a refusal costs the client a millisecond, an accepted request that ends in a time-out
costs it the whole wait and the machine the whole work.

Small requests overtake large ones (see `queue`), so ahead of a small one are the small ones and what
is already in the shards; ahead of a large one is everything. Estimates can be wrong, so two cases are
never refused by them: a request that finds nothing else, and any request before the rate is known.

Beside that, the estimated tokens of all requests inside are bounded, and so is the memory they take.
"""

from dataclasses import dataclass

_DEADLINE_SHARE = 0.8
_LEARNING_RATE = 0.1
_LONGEST_RETRY_SECONDS = 60.0
_SHORTEST_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request at the door.

    Attributes:
        tokens: its estimated cost.
        is_small: its class in the line.
        remaining_seconds: the time until its deadline.
    """

    tokens: int
    is_small: bool
    remaining_seconds: float


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a request may not enter.

    Attributes:
        retry_seconds: when it could.
        wait_seconds: how long it would have taken; `None` if the bound on tokens is the reason.
        tokens: what would be inside with it.
        most_tokens: the bound.
    """

    retry_seconds: float
    wait_seconds: float | None
    tokens: int
    most_tokens: int


class Admission:
    """The door of one model.

    Attributes:
        tokens: the estimated tokens of all requests inside.
    """

    def __init__(self, most_tokens: int) -> None:
        self.tokens = 0
        self._small_tokens = 0
        self._most_tokens = most_tokens
        self._tokens_per_second = 0.0  # of one replica, while it computes

    def check(self, ask: Ask, *, replicas: int, window_tokens: int) -> Refused | None:
        """Return why a request may not enter, or `None` if it may.

        Args:
            ask: the request.
            replicas: how many are ready.
            window_tokens: how many tokens may be inside the shards, where nobody overtakes.
        """
        if not self.tokens:
            return None
        rate = self._tokens_per_second * replicas
        excess = self.tokens + ask.tokens - self._most_tokens
        if excess > 0:
            return self._refused(excess / rate if rate else 0.0, None, ask)
        if not rate:
            return None
        wait = (self._ahead_of(ask, window_tokens) + ask.tokens) / rate
        allowed = _DEADLINE_SHARE * ask.remaining_seconds
        return self._refused(wait - allowed, wait, ask) if wait > allowed else None

    def _refused(self, retry_seconds: float, wait_seconds: float | None, ask: Ask) -> Refused:
        retry_seconds = max(_SHORTEST_RETRY_SECONDS, min(_LONGEST_RETRY_SECONDS, retry_seconds))
        return Refused(retry_seconds, wait_seconds, self.tokens + ask.tokens, self._most_tokens)

    def _ahead_of(self, ask: Ask, window_tokens: int) -> int:
        if not ask.is_small:
            return self.tokens
        return self._small_tokens + min(self.tokens - self._small_tokens, window_tokens)

    def enter(self, ask: Ask) -> None:
        """Count a request in."""
        self.tokens += ask.tokens
        self._small_tokens += ask.tokens if ask.is_small else 0

    def leave(self, ask: Ask) -> None:
        """Count a request out that was counted in."""
        self.tokens -= ask.tokens
        self._small_tokens -= ask.tokens if ask.is_small else 0

    def learn(self, tokens: int, compute_seconds: float) -> None:
        """Note how long a replica computed on so many tokens."""
        if compute_seconds <= 0:
            return
        seen = tokens / compute_seconds
        if not self._tokens_per_second:
            self._tokens_per_second = seen
        self._tokens_per_second += (seen - self._tokens_per_second) * _LEARNING_RATE
