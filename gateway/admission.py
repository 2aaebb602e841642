"""May this request enter, now? Pure.

A request is let in if it can be expected to be answered in time: what is ahead of it, and the work
it brings, over the rate at which the model's replicas have been working, against four fifths of the
time it has left. Otherwise it is refused at once with a Retry-After that is the wait it would have
been short of: a refusal costs the client a millisecond, an accepted request that ends in a time-out
costs it the whole wait and the machine the whole work.

Small requests overtake large ones (see `queue`), so ahead of a small one are the small ones and what
is already in the shards; ahead of a large one is everything. Estimates can be wrong, so two cases are
never refused by them: a request that finds nothing else, and any request before the rate is known.

Callers take turns in the line, by their weights; so what others have inside is ahead of a request only
as far as their turns come before its own. A caller that fills the place finds the door closed, the
others find it open.

Beside that, the estimated tokens of all requests inside are bounded, and so is the memory they take.
Who has less than its share of that bound when others have filled it may go over it, up to twice.
"""

from collections import Counter
from dataclasses import dataclass

from msgspec import Struct

from gateway.domain import ANYONE, Caller

_DEADLINE_SHARE = 0.8
_LEARNING_RATE = 0.1
_LONGEST_RETRY_SECONDS = 60.0
_SHORTEST_RETRY_SECONDS = 1.0


class Ask(Struct, frozen=True, kw_only=True, gc=False):
    """A request at the door.

    Attributes:
        tokens: its estimated cost.
        is_small: its class in the line.
        remaining_seconds: the time until its deadline.
        caller: whose it is.
    """

    tokens: int
    is_small: bool
    remaining_seconds: float
    caller: Caller = ANYONE


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
        self._of: Counter[str] = Counter()  # tokens by caller
        self._small_of: Counter[str] = Counter()
        self._weights: dict[str, float] = {}  # of the callers that have something inside
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
        excess = self.tokens + ask.tokens - self._bound(ask)
        if excess > 0:
            return self._refused(excess / rate if rate else 0.0, None, ask)
        if not rate:
            return None
        wait = (self._ahead_of(ask, window_tokens) + ask.tokens) / rate
        allowed = _DEADLINE_SHARE * ask.remaining_seconds
        return self._refused(wait - allowed, wait, ask) if wait > allowed else None

    def _bound(self, ask: Ask) -> int:
        """Return how many tokens may be inside with a request."""
        others, weight = self._weight_of_others(ask), ask.caller.weight
        share = self._most_tokens * weight / (weight + others)
        has_its_share = self._of[ask.caller.id] + ask.tokens > share
        return 2 * self._most_tokens if others and not has_its_share else self._most_tokens

    def _refused(self, retry_seconds: float, wait_seconds: float | None, ask: Ask) -> Refused:
        retry_seconds = max(_SHORTEST_RETRY_SECONDS, min(_LONGEST_RETRY_SECONDS, retry_seconds))
        return Refused(retry_seconds, wait_seconds, self.tokens + ask.tokens, self._bound(ask))

    def _ahead_of(self, ask: Ask, window_tokens: int) -> float:
        """Return what is served before a request: the caller's own, and the turns of the others."""
        all_own = self._of[ask.caller.id]
        own = self._small_of[ask.caller.id] if ask.is_small else all_own
        turns = (own + ask.tokens) * self._weight_of_others(ask) / ask.caller.weight
        return own + min(self.tokens - own, min(self.tokens - all_own, turns) + window_tokens)

    def _weight_of_others(self, ask: Ask) -> float:
        return sum(weight for id_, weight in self._weights.items() if id_ != ask.caller.id)

    def enter(self, ask: Ask) -> None:
        """Count a request in."""
        self._weights[ask.caller.id] = ask.caller.weight
        self._count(ask, ask.tokens)

    def leave(self, ask: Ask) -> None:
        """Count a request out that was counted in."""
        self._count(ask, -ask.tokens)
        if not self._of[ask.caller.id]:
            for by_caller in (self._of, self._small_of, self._weights):
                by_caller.pop(ask.caller.id, None)

    def _count(self, ask: Ask, tokens: int) -> None:
        self.tokens += tokens
        self._of[ask.caller.id] += tokens
        self._small_of[ask.caller.id] += tokens if ask.is_small else 0

    def learn(self, tokens: int, compute_seconds: float) -> None:
        """Note how long a replica computed on so many tokens."""
        if compute_seconds <= 0:
            return
        seen = tokens / compute_seconds
        if not self._tokens_per_second:
            self._tokens_per_second = seen
        self._tokens_per_second += (seen - self._tokens_per_second) * _LEARNING_RATE
