"""What the states of the models mean to those who ask. Pure.

`/health` says how well the gateway does: it is never green when nothing can score. `/readyz` says
whether to send it requests: not before everything that is still on its way has arrived, so that a
roll-out waits; but a model that was given up, or drained, does not hold the others back.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.status import ModelStatus

SCORING = frozenset({"ready", "degraded"})
"""States of a model in which it answers."""

_OUT_OF_SERVICE = frozenset({"failed", "draining", "drained"})
"""States of a model that nobody should wait for: it does not come back by itself."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether requests should come, and if not, why."""

    ready: bool
    reasons: tuple[str, ...]


def readiness(models: Sequence[ModelStatus], *, stopping: bool) -> Readiness:
    """Return whether every model that is to come can score, and at least one does."""
    if stopping:
        return Readiness(False, ("the gateway is stopping",))
    waiting = [m for m in models if m.state not in SCORING]
    reasons = tuple(f"model {model.name!r} is {model.state}" for model in waiting)
    scoring = len(models) - len(waiting)
    return Readiness(scoring > 0 and all(m.state in _OUT_OF_SERVICE for m in waiting), reasons)


def health(models: Sequence[ModelStatus]) -> str:
    """Return `ok`, `degraded` (something can score, not all), `loading` or `down`."""
    states = {model.state for model in models}
    if states & SCORING:
        return "ok" if states == {"ready"} else "degraded"
    return "loading" if "loading" in states else "down"


def state(models: Sequence[ModelStatus]) -> str:
    """Return the state of a split: `ready`, `degraded` (not all of its models), `loading`, `failed`."""
    words = {"ok": "ready", "down": "failed"}
    said = health(models)
    return words.get(said, said)


def summary(models: Sequence[ModelStatus], *, stopping: bool) -> str:
    """Return one line for people, such as `2/3 models ready, 7/8 shards`."""
    shards = _shards(models)
    able = sum(model.state in SCORING for model in models)
    line = f"{able}/{len(models)} models ready, {shards['ready']}/{shards['total']} shards"
    return f"stopping, {line}" if stopping else line


def health_report(models: Sequence[ModelStatus], *, stopping: bool) -> dict[str, object]:
    """Return the body of `/health`: the verdict, and the counts behind it."""
    return {
        "status": health(models),
        "stopping": stopping,
        "queue": sum(_queue(model) for model in models),
        "shards": _shards(models),
        "models": [
            {
                "name": model.name,
                "state": model.state,
                "queue": _queue(model),
                "outstanding_tokens": sum(shard.outstanding_tokens for shard in model.shards),
                "shards": _shards([model]),
            }
            for model in models
        ],
    }


def _queue(model: ModelStatus) -> int:
    """Jobs that wait in the gateway or are inside a shard."""
    return model.queue + sum(shard.queue for shard in model.shards)


def _shards(models: Sequence[ModelStatus]) -> dict[str, int]:
    """How many shards there are, and in which states."""
    states = Counter(shard.state for model in models for shard in model.shards)
    return {"total": states.total(), "ready": 0, **dict(sorted(states.items()))}
