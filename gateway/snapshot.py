"""Supervisors and their counts, as the values that `/status` shows."""

import time
from collections.abc import Collection, Iterable, Mapping

from gateway.config import CalibrationEntry, ModelSpec
from gateway.drift import ScoresStatus
from gateway.lifecycle import State
from gateway.recycling import can_shrink
from gateway.retries import RetryBudget
from gateway.standing import Standing, Trust
from gateway.status import CalibrationStatus, ModelStatus, ShardStatus
from gateway.supervisor import Supervisor
from gateway.tally import Tally
from shards.wire.messages import Ready


def model_status(
    spec: ModelSpec,
    facts: Ready | None,
    queue: int,
    shards: Mapping[Supervisor, Tally],
    retries: RetryBudget,
    scores: ScoresStatus,
    *,
    refused_pairs: int = 0,
    confined_keys: tuple[str, ...] = (),
    is_draining: bool = False,
) -> ModelStatus:
    """Return what there is to know about a model; `queue` counts the jobs in its line."""
    return ModelStatus(
        name=spec.name,
        state=_draining(shards) if is_draining else _state(shards),
        max_shard_memory_mb=spec.max_shard_memory_mb,
        default=spec.default,
        aliases=spec.aliases,
        source=spec.source,
        engine=facts.engine if facts else "",
        activation=facts.activation if facts else "",
        demonstration=facts.demonstration if facts else False,
        max_length=facts.max_length if facts else 0,
        queue=queue,
        refused_pairs=refused_pairs,
        confined_keys=confined_keys,
        scores=scores,
        weights=facts.weights if facts else "",
        calibration=_calibration(spec.calibration, facts.weights if facts else ""),
        retries=retries.spent,
        retries_refused=retries.refused,
        shards=tuple(
            shard_status(one, tally, spec.max_shard_memory_mb) for one, tally in shards.items()
        ),
    )


def _calibration(entry: CalibrationEntry | None, weights: str) -> CalibrationStatus | None:
    if entry is None:
        return None
    return CalibrationStatus(
        slope=entry.slope,
        intercept=entry.intercept,
        made=entry.made,
        pairs=entry.pairs,
        ece_before=entry.ece_before,
        ece_after=entry.ece_after,
        stale=entry.is_stale(weights),
    )


def _state(shards: Collection[Supervisor]) -> str:
    states = {one.state for one in shards}
    if states == {State.READY}:
        return "ready"
    if states & {State.READY, State.SUSPECT}:
        return "degraded"
    return "loading" if any(one.is_coming for one in shards) else "failed"


def _draining(shards: Collection[Supervisor]) -> str:
    return "drained" if all(one.state is State.STOPPED for one in shards) else "draining"


def shard_status(supervisor: Supervisor, tally: Tally, max_shard_memory_mb: int = 0) -> ShardStatus:
    """Return what there is to know about a shard."""
    replica, spec, now = supervisor.replica, supervisor.spec, time.monotonic()
    facts = replica.facts
    return ShardStatus(
        name=spec.name,
        pid=supervisor.pid,
        state=supervisor.state.label,
        stage=supervisor.stage,
        generation=supervisor.generation,
        restarts=supervisor.restarts,
        device=facts.device if facts else spec.device,
        dtype=facts.dtype if facts else spec.dtype,
        notes=facts.notes if facts else (),
        cores=spec.cores,
        memory_nodes=spec.memory_nodes,
        queue=replica.queue,
        outstanding_tokens=replica.outstanding_tokens,
        documents=tally.documents,
        tokens=tally.tokens,
        documents_per_second=round(tally.documents_per_second(now), 1),
        p50_ms=round(1000 * tally.latency_seconds(0.5), 2),
        p95_ms=round(1000 * tally.latency_seconds(0.95), 2),
        memory_bytes=supervisor.memory_bytes,
        last_error=supervisor.last_error,
        warnings=(
            *_troubles(supervisor.standing, now),
            *supervisor.concessions.warnings(now),
            *_too_large(supervisor, max_shard_memory_mb),
            *(facts.warnings if facts else ()),
        ),
        trust=supervisor.standing.trust(now).value,
        share=round(supervisor.standing.share(now), 3),
        errors=supervisor.standing.errors,
        ejections=supervisor.standing.ejections,
        wasted_tokens=replica.wasted_tokens,
        recycles=supervisor.recycles,
        oom_kills=supervisor.concessions.oom_kills,
        demoted=supervisor.concessions.is_demoted,
        canary=supervisor.canary.status(now),
    )


def _too_large(supervisor: Supervisor, limit_mb: int) -> tuple[str, ...]:
    """Say that a limit is below what the model itself takes."""
    if not limit_mb or can_shrink(supervisor, limit_mb):
        return ()
    return (
        f"it took {supervisor.first_memory_bytes >> 20} MiB when it was new: max_shard_memory_mb "
        f"{limit_mb} is too low for this model, and has no effect",
    )


def _troubles(standing: Standing, now: float) -> tuple[str, ...]:
    """Say why a replica that is ready gets fewer jobs than it could."""
    trust = standing.trust(now)
    errors = f"it erred at {standing.errors} jobs that another replica scored"
    if trust is Trust.EJECTED:
        return (f"{errors}: it gets none for {standing.seconds_out(now):.0f} s",)
    return (f"{errors}: it gets one at a time",) if trust is Trust.PROBED else ()


def errors_of(shards: Iterable[Supervisor]) -> str:
    """Say why these shards were lost; empty if none was."""
    return "; ".join(sorted({one.last_error for one in shards if one.last_error}))
