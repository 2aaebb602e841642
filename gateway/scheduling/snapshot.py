"""The status of a model and its shards, as the values that `/status` shows."""

import time
from collections.abc import Iterable

from gateway.config import CalibrationEntry, ModelSpec
from gateway.scheduling.accounting import Accounting, Tally
from gateway.scheduling.memory_occupant import Occupant
from gateway.scheduling.presence import Presence
from gateway.scheduling.quarantine import Quarantine
from gateway.scheduling.replica_set import ReplicaSet
from gateway.scheduling.retry_budget import RetryBudget
from gateway.supervision.lifecycle import State
from gateway.supervision.memory_recycling import can_shrink
from gateway.supervision.outlier_detection import OutlierDetector, Trust
from gateway.supervision.replica import WINDOW_BATCHES
from gateway.supervision.supervisor import Supervisor
from gateway.telemetry.status import CalibrationStatus, ModelStatus, ShardStatus


def model_status(
    spec: ModelSpec,
    replicas: ReplicaSet,
    accounting: Accounting,
    retries: RetryBudget,
    quarantine: Quarantine,
    *,
    queue: int,
    is_draining: bool,
    presence: Presence,
    occupant: Occupant,
) -> ModelStatus:
    """Return the status of a model in whose queue so many jobs wait."""
    facts = replicas.last_facts
    state = _state(replicas) if presence.is_wanted else "idle"
    return ModelStatus(
        name=spec.name,
        state=_draining(replicas) if is_draining else state,
        max_shard_memory_mb=spec.max_shard_memory_mb,
        default=spec.default,
        aliases=spec.aliases,
        source=spec.source,
        engine=facts.engine if facts else "",
        activation=facts.activation if facts else "",
        demonstration=facts.demonstration if facts else False,
        max_length=facts.max_length if facts else 0,
        queue=queue,
        refused_pairs=quarantine.refused_pairs,
        confined_keys=quarantine.confined(time.monotonic()),
        scores=accounting.scores.status(spec.scale),
        weights=facts.fingerprint if facts else "",
        calibration=_calibration(spec.calibration, facts.fingerprint if facts else ""),
        retries=retries.spent,
        retries_refused=retries.refused,
        load=spec.load,
        idle_seconds=spec.idle_seconds,
        is_leaving=presence.is_leaving,
        loads=presence.loads,
        load_seconds=round(presence.load_seconds, 3),
        cold_requests=presence.cold_requests,
        cold_seconds=round(presence.cold_seconds, 3),
        waits_for_room=occupant.reason(),
        makes_way=occupant.makes_way,
        room_waits=occupant.waits,
        room_wait_seconds=round(occupant.wait_seconds, 3),
        evictions=dict(occupant.evictions),
        clean_text=spec.clean_text,
        cleaned_texts=accounting.cleaned,
        shards=tuple(
            shard_status(shard, accounting.tallies[shard], spec.max_shard_memory_mb)
            for shard in replicas
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


def _state(shards: Iterable[Supervisor]) -> str:
    states = {shard.state for shard in shards}
    if states == {State.READY}:
        return "ready"
    if states & {State.READY, State.SUSPECT}:
        return "degraded"
    return "loading" if any(shard.is_coming for shard in shards) else "failed"


def _draining(shards: Iterable[Supervisor]) -> str:
    return "drained" if all(shard.state is State.STOPPED for shard in shards) else "draining"


def shard_status(supervisor: Supervisor, tally: Tally, max_shard_memory_mb: int = 0) -> ShardStatus:
    """Return the status of a shard."""
    replica, spec, now = supervisor.replica, supervisor.spec, time.monotonic()
    facts = replica.facts
    p50, p95 = tally.latency_seconds(0.5, 0.95)
    return ShardStatus(
        name=spec.name,
        pid=supervisor.pid,
        state="idle" if supervisor.is_unloaded else supervisor.state.label,
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
        p50_ms=round(1000 * p50, 2),
        p95_ms=round(1000 * p95, 2),
        memory_bytes=supervisor.memory_bytes,
        last_error=supervisor.last_error,
        warnings=(
            *_ejections(supervisor.outliers, now),
            *supervisor.degradation.warnings(now),
            *_too_large(supervisor, max_shard_memory_mb),
            *(facts.warnings if facts else ()),
        ),
        trust=supervisor.outliers.trust(now).value,
        share=round(supervisor.outliers.share(now), 3),
        errors=supervisor.outliers.errors,
        ejections=supervisor.outliers.ejections,
        wasted_tokens=replica.wasted_tokens,
        recycles=supervisor.recycles,
        oom_kills=supervisor.degradation.oom_kills,
        demoted=supervisor.degradation.is_demoted,
        canary=supervisor.canary.status(now),
        slots=WINDOW_BATCHES if replica.facts else 0,
        free_slots=replica.free_slots,
    )


def _too_large(supervisor: Supervisor, limit_mb: int) -> tuple[str, ...]:
    """Return a warning if the limit is below the memory of the model itself."""
    if not limit_mb or can_shrink(supervisor, limit_mb):
        return ()
    return (
        f"it took {supervisor.first_memory_bytes >> 20} MiB when it was new: max_shard_memory_mb "
        f"{limit_mb} is too low for this model, and has no effect",
    )


def _ejections(outliers: OutlierDetector, now: float) -> tuple[str, ...]:
    """Return a warning if a ready replica gets fewer jobs than it could."""
    trust = outliers.trust(now)
    errors = f"it erred at {outliers.errors} jobs that another replica scored"
    if trust is Trust.EJECTED:
        return (f"{errors}: it gets none for {outliers.ejection_seconds_left(now):.0f} s",)
    return (f"{errors}: it gets one at a time",) if trust is Trust.PROBED else ()
