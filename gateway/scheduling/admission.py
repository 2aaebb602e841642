"""Admission: whether a request may enter the queue of its model now. Pure.

A request is admitted if its answer can be expected in time: the work ahead of it, and its own, over
the rate at which the model's replicas have been working, against four fifths of the time it has
left. Otherwise it is rejected at once, with a Retry-After that is the wait it would have been short
of: a rejection costs the client a millisecond, an admitted request that ends in a time-out costs it
the whole wait and the machine the whole work.

Small requests overtake large ones (see `queue`), so ahead of a small one are the small ones and the
jobs inside the shards; ahead of a large one is everything. Estimates can be wrong, so two cases are
never rejected by them: a request that finds the model empty, and any request before the rate is
known.

Callers take turns in the queue, by their weights; so the work of other callers is ahead of a
request only as far as their turns come before its own. Admission rejects callers that already hold
their share of the queue, and admits the others.

Beside that, the estimated tokens of all admitted requests are bounded, and so is the memory they
take. A caller that has less than its share of that bound when others have filled it may exceed it,
up to twice.
"""

import math
from collections import Counter
from dataclasses import dataclass

from msgspec import Struct

from gateway.domain.errors import ModelDrained, ModelUnavailable, Overloaded, RetryBudgetSpent
from gateway.domain.request import ANONYMOUS, Caller

_DEADLINE_SHARE = 0.8
_LEARNING_RATE = 0.1
_LONGEST_RETRY_SECONDS = 60.0
_SHORTEST_RETRY_SECONDS = 1.0

_UNAVAILABLE_SECONDS = 60  # an operator has to act, or the slow restart
_DRAINED_SECONDS = 30
_RETRY_BUDGET_SECONDS = 5


class AdmissionRequest(Struct, frozen=True, kw_only=True, gc=False):
    """A request at the admission.

    Attributes:
        tokens: its estimated cost.
        least_tokens: the part of it that must be computed by the deadline; 0 for all.
        is_small: its class in the queue.
        remaining_seconds: the time until its deadline.
        caller: the caller that pays for it.
    """

    tokens: int
    is_small: bool
    remaining_seconds: float
    caller: Caller = ANONYMOUS
    least_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Rejection:
    """The reason why a request is rejected.

    Attributes:
        retry_seconds: the time until it could be admitted.
        wait_seconds: the time that its answer would take; `None` if the bound on tokens is the
            reason.
        tokens: the tokens that would be admitted with it.
        most_tokens: the bound.
    """

    retry_seconds: float
    wait_seconds: float | None
    tokens: int
    most_tokens: int


class Admission:
    """The admission of one model.

    Attributes:
        tokens: the estimated tokens of all admitted requests.
    """

    def __init__(self, most_tokens: int) -> None:
        self.tokens = 0
        self._of: Counter[str] = Counter()  # tokens by caller
        self._small_of: Counter[str] = Counter()
        self._weights: dict[str, float] = {}  # of the callers with admitted requests
        self._most_tokens = most_tokens
        self._tokens_per_second = 0.0  # of one replica, while it computes

    def check(
        self, request: AdmissionRequest, *, replicas: int, window_tokens: int
    ) -> Rejection | None:
        """Return the reason why a request is rejected, or `None` if it may enter.

        Args:
            request: the request.
            replicas: the number of ready replicas.
            window_tokens: the most tokens inside the shards, where no job overtakes another.
        """
        if not self.tokens:
            return None
        rate = self._tokens_per_second * replicas
        excess = self.tokens + request.tokens - self._bound(request)
        if excess > 0:
            return self._rejection(excess / rate if rate else 0.0, None, request)
        if not rate:
            return None
        needed = request.least_tokens or request.tokens
        wait = (self._ahead_of(request, window_tokens) + needed) / rate
        allowed = _DEADLINE_SHARE * request.remaining_seconds
        return self._rejection(wait - allowed, wait, request) if wait > allowed else None

    def _bound(self, request: AdmissionRequest) -> int:
        """Return the most tokens that may be admitted with a request."""
        others, weight = self._weight_of_others(request), request.caller.weight
        share = self._most_tokens * weight / (weight + others)
        has_its_share = self._of[request.caller.id] + request.tokens > share
        return 2 * self._most_tokens if others and not has_its_share else self._most_tokens

    def _rejection(
        self, retry_seconds: float, wait_seconds: float | None, request: AdmissionRequest
    ) -> Rejection:
        retry_seconds = max(_SHORTEST_RETRY_SECONDS, min(_LONGEST_RETRY_SECONDS, retry_seconds))
        tokens = self.tokens + request.tokens
        return Rejection(retry_seconds, wait_seconds, tokens, self._bound(request))

    def _ahead_of(self, request: AdmissionRequest, window_tokens: int) -> float:
        """Return the tokens served before a request: the caller's own, and the others' turns."""
        all_own = self._of[request.caller.id]
        own = self._small_of[request.caller.id] if request.is_small else all_own
        turns = (own + request.tokens) * self._weight_of_others(request) / request.caller.weight
        return own + min(self.tokens - own, min(self.tokens - all_own, turns) + window_tokens)

    def _weight_of_others(self, request: AdmissionRequest) -> float:
        return sum(weight for id_, weight in self._weights.items() if id_ != request.caller.id)

    def enter(self, request: AdmissionRequest) -> None:
        """Count a request in."""
        self._weights[request.caller.id] = request.caller.weight
        self._count(request, request.tokens)

    def leave(self, request: AdmissionRequest) -> None:
        """Count a request out that was counted in."""
        self._count(request, -request.tokens)
        if not self._of[request.caller.id]:
            for by_caller in (self._of, self._small_of, self._weights):
                by_caller.pop(request.caller.id, None)

    def _count(self, request: AdmissionRequest, tokens: int) -> None:
        self.tokens += tokens
        self._of[request.caller.id] += tokens
        self._small_of[request.caller.id] += tokens if request.is_small else 0

    def seconds_of(self, tokens: int) -> float:
        """Return the time that one replica computes on so many tokens; 0 before it is known."""
        return tokens / self._tokens_per_second if self._tokens_per_second else 0.0

    def tokens_in(self, seconds: float) -> int:
        """Return the tokens that one replica computes in so many seconds; 0 before it is known."""
        return int(self._tokens_per_second * seconds)

    def learn(self, tokens: int, compute_seconds: float) -> None:
        """Note the time that a replica computed on so many tokens."""
        if compute_seconds <= 0:
            return
        seen = tokens / compute_seconds
        if not self._tokens_per_second:
            self._tokens_per_second = seen
        self._tokens_per_second += (seen - self._tokens_per_second) * _LEARNING_RATE


def overloaded(
    model: str, request: AdmissionRequest, rejection: Rejection, spread: float
) -> Overloaded:
    """Return the error of a rejected request; `spread` scales its Retry-After at random."""
    why = (
        f"about {rejection.tokens} estimated tokens would be in, the limit is "
        f"{rejection.most_tokens} (limits.queue_tokens)"
        if rejection.wait_seconds is None
        else f"the answer would take about {rejection.wait_seconds:.1f} s, the request allows "
        f"{request.remaining_seconds:.1f} s (X-Request-Timeout-Ms)"
    )
    return Overloaded(
        f"model {model!r} has too much to do: {why}; try again later",
        retry_after_seconds=math.ceil(rejection.retry_seconds * spread),
    )


def unavailable(model: str, reasons: str) -> ModelUnavailable:
    """Return the error of a model none of whose shards can score, and their reasons."""
    return ModelUnavailable(
        f"model {model!r} cannot score now. `gateway status` shows its operator the reason",
        retry_after_seconds=_UNAVAILABLE_SECONDS,
        cause=reasons or "it is stopped",
    )


def loading(model: str, allowed_seconds: float, left_seconds: float) -> ModelUnavailable:
    """Return the error of a request that cannot wait until its model is loaded."""
    return ModelUnavailable(
        f"model {model!r} is being loaded, for about {left_seconds:.1f} s, and the request allows "
        f"{allowed_seconds:.1f} s (X-Request-Timeout-Ms): try again later",
        retry_after_seconds=math.ceil(left_seconds),
    )


def never_fits(model: str, pool: str, needed: int, budget: int, reason: str) -> ModelUnavailable:
    """Return the error of a model for which a pool of memory has no room at any time."""
    return ModelUnavailable(
        f"model {model!r} takes {needed >> 20} MiB, and the {pool} has {budget >> 20} MiB for all "
        "models (memory_budget), less than that beside those that stay loaded: its operator raises "
        "the budget, unloads others, or lets them be idle (idle_seconds)",
        retry_after_seconds=_UNAVAILABLE_SECONDS,
        cause=reason,
    )


def waiting_for_room(
    model: str, pool: str, needed: int, budget: int, others: int, seconds: float, reason: str
) -> ModelUnavailable:
    """Return the error of a request that cannot wait until there is room for its model.

    Other models are counted, not named: the key of the request may not be for them.
    """
    count = f"{others} other{'' if others == 1 else 's'}"
    return ModelUnavailable(
        f"model {model!r} waits for {needed >> 20} MiB of the {pool}'s {budget >> 20} MiB for all "
        f"models (memory_budget), held by {count}, for about {seconds:.0f} s: try "
        "again later, or allow more time (X-Request-Timeout-Ms). `gateway status` shows its "
        "operator who holds it",
        retry_after_seconds=max(1, math.ceil(seconds)),
        cause=reason,
    )


def retry_budget_spent(model: str, reason: str) -> RetryBudgetSpent:
    """Return the error of a lost job that is not scored again; `reason` is that of the loss."""
    return RetryBudgetSpent(
        f"a shard of model {model!r} ended before it answered, and too many jobs were scored again "
        "lately (supervision.retry_share, supervision.retries_per_second): try again later. "
        "`gateway status` shows its operator the reason",
        retry_after_seconds=_RETRY_BUDGET_SECONDS,
        cause=reason,
    )


def drained(model: str) -> ModelDrained:
    """Return the error of a model that its operator has taken out of service."""
    return ModelDrained(
        f"model {model!r} is taken out of service by its operator, who brings it back with "
        f"`gateway reload {model}`",
        retry_after_seconds=_DRAINED_SECONDS,
    )
