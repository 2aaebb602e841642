"""What a model says to those it cannot serve now. Pure."""

import math

from gateway.admission import Ask, Refused
from gateway.errors import ModelDrained, ModelUnavailable, Overloaded, RetryBudgetSpent

_UNAVAILABLE_SECONDS = 60  # an operator has to do something, or the slow retry
_DRAINED_SECONDS = 30
_RETRY_BUDGET_SECONDS = 5


def overloaded(model: str, ask: Ask, refused: Refused, spread: float) -> Overloaded:
    """Return why a request may not enter; `spread` moves its Retry-After, so that not all agree."""
    why = (
        f"about {refused.tokens} estimated tokens would be in, the limit is {refused.most_tokens} "
        "(limits.queue_tokens)"
        if refused.wait_seconds is None
        else f"the answer would take about {refused.wait_seconds:.1f} s, the request allows "
        f"{ask.remaining_seconds:.1f} s (X-Request-Timeout-Ms)"
    )
    return Overloaded(
        f"model {model!r} has too much to do: {why}; try again later",
        retry_after_seconds=math.ceil(refused.retry_seconds * spread),
    )


def unavailable(model: str, reasons: str) -> ModelUnavailable:
    """Return that no shard can score, and why."""
    return ModelUnavailable(
        f"model {model!r} cannot score: {reasons or 'it is stopped'}. `gateway status` shows its "
        "shards",
        retry_after_seconds=_UNAVAILABLE_SECONDS,
    )


def retry_budget_spent(model: str, reason: str) -> RetryBudgetSpent:
    """Return that a lost job is not scored again, and how its shard ended."""
    return RetryBudgetSpent(
        f"a shard of model {model!r} ended before it answered ({reason}), and too many jobs were "
        "scored again lately (supervision.retry_share, supervision.retries_per_second): try again "
        "later. `gateway status` shows its shards",
        retry_after_seconds=_RETRY_BUDGET_SECONDS,
    )


def drained(model: str) -> ModelDrained:
    """Return that the operator has taken the model out of service."""
    return ModelDrained(
        f"model {model!r} is taken out of service by its operator, who brings it back with "
        f"`gateway reload {model}`",
        retry_after_seconds=_DRAINED_SECONDS,
    )
