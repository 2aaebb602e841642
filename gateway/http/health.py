"""Health and readiness of the gateway, from the states of its models. Pure.

`/health` reports how well the gateway works: it is never `ok` when no model can score. `/readyz`
reports whether to send requests: not before every model that is still loading is ready, so that a
roll-out waits for it. A model that failed for good, or was drained, does not hold back the others.
A model that is idle counts as ready, or does not, as `ready_when_idle` is configured.
"""

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass

from gateway.telemetry.status import ModelStatus

SCORING = frozenset({"ready", "degraded"})
"""States of a model that can score now."""

TAKING = SCORING | {"idle"}
"""States of a model that takes requests: one that is idle is loaded for them."""

UNHEALTHY = {"error": "unhealthy", "error_type": "Unhealthy"}
"""The answer of text-embeddings-inference when it cannot score."""

_OUT_OF_SERVICE = frozenset({"failed", "draining", "drained", "idle"})
"""States of a model that does not become ready by itself, so that no roll-out waits for it."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Readiness, and the reasons against it."""

    ready: bool
    reasons: tuple[str, ...]


def readiness(
    models: Sequence[ModelStatus],
    *,
    stopping: bool,
    shown: Container[str],
    needs_all: bool = False,
    ready_when_idle: bool = True,
) -> Readiness:
    """Return the readiness: no model is still loading, and at least one can score.

    A cascade needs all of its models. Models that are idle can score `ready_when_idle`.

    The reasons name the models whose names are shown, and count the others.
    """
    if stopping:
        return Readiness(False, ("the gateway is stopping",))
    able = TAKING if ready_when_idle else SCORING
    waiting = [m for m in models if _state(m) not in able]
    named = [f"model {m.name!r} is {m.state}" for m in waiting if m.name in shown]
    others = Counter(m.state for m in waiting if m.name not in shown)
    counted = [f"{number} of the models: {state}" for state, number in sorted(others.items())]
    reasons = (*named, *counted)
    scoring = len(models) - len(waiting)
    may_wait = frozenset() if needs_all else _OUT_OF_SERVICE
    return Readiness(scoring > 0 and all(_state(m) in may_wait for m in waiting), reasons)


def _state(model: ModelStatus) -> str:
    """Return the state of a model; one that is loaded on demand counts as idle until it is ready.

    Such loads come and go all the time, and no roll-out waits for them.
    """
    on_demand = model.load == "first-use" or model.loads > 1
    return "idle" if model.state == "loading" and on_demand else model.state


def health(models: Sequence[ModelStatus]) -> str:
    """Return `ok`, `degraded` (some models can score, not all), `loading` or `down`."""
    states = {_state(model) for model in models}
    if states & TAKING:
        return "ok" if states <= {"ready", "idle"} else "degraded"
    return "loading" if "loading" in states else "down"


def state(models: Sequence[ModelStatus]) -> str:
    """Return the state of a split: `ready`, `degraded` (some models score), `loading`, `failed`."""
    words = {"ok": "ready", "down": "failed"}
    found = health(models)
    return words.get(found, found)


def cascade_state(models: Sequence[ModelStatus]) -> str:
    """Return the state of a cascade, which needs all of its models: that of the worst of them."""
    found = health(models)
    if {_state(model) for model in models} <= TAKING:
        return "ready" if found == "ok" else "degraded"
    return "loading" if any(model.state == "loading" for model in models) else "failed"


def summary(models: Sequence[ModelStatus], *, stopping: bool) -> str:
    """Return a one-line summary, such as `2/3 models ready, 1 idle, 7/8 shards`."""
    shards = _shards(models)
    scoring = sum(model.state in SCORING for model in models)
    idle = sum(model.state == "idle" for model in models)
    counts = f"{scoring}/{len(models)} models ready{f', {idle} idle' if idle else ''}"
    line = f"{counts}, {shards['ready']}/{shards['total']} shards"
    return f"stopping, {line}" if stopping else line


def health_report(
    models: Sequence[ModelStatus], *, stopping: bool, shown: Container[str]
) -> dict[str, object]:
    """Return the body of `/health`: the status, the counts behind it, and the shown models."""
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
            if model.name in shown
        ],
    }


def _queue(model: ModelStatus) -> int:
    """Return the number of jobs that are queued in the gateway or inside a shard."""
    return model.queue + sum(shard.queue for shard in model.shards)


def _shards(models: Sequence[ModelStatus]) -> dict[str, int]:
    """Return the number of shards, in total and by state."""
    states = Counter(shard.state for model in models for shard in model.shards)
    return {"total": states.total(), "ready": 0, **dict(sorted(states.items()))}
