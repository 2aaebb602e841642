"""The schema of `/status`: a snapshot of models and shards, as plain frozen values.

These are the keys of the JSON behind `gateway status`; keys may be added, none is renamed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.telemetry.history_figures import HistoryFigures
from gateway.telemetry.memory_status import PoolStatus
from gateway.telemetry.model_agreement import Agreement
from gateway.telemetry.request_figures import Figures
from gateway.telemetry.score_cache_status import ScoreCacheStatus
from gateway.telemetry.score_drift import ScoresStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryStatus:
    """The last result of a shard's canaries.

    `mode` is `full`, `own` or `numeric`. `rounds` and `failures` count since the gateway started;
    `milliseconds` is the time of the last round. `spread` is the mean margin of right documents
    less that of wrong ones after the last load; unset where the order is not checked.
    """

    mode: str
    passed: bool
    rounds: int
    failures: int
    age_seconds: float
    milliseconds: float
    spread: float | None
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardStatus:
    """One shard, as its supervisor and its replica report it.

    `state` is a name of `gateway.supervision.lifecycle.State` in lower case, or `idle`; `stage` is
    the present step of a loading shard. `queue` counts jobs inside the shard, `outstanding_tokens`
    their estimated tokens. `documents`, `tokens` and `restarts` count since the gateway started.
    `p50_ms` and `p95_ms` are over the last jobs, from send to answer, 0 before the first. `trust`
    is a value of `gateway.supervision.outlier_detection.Trust`; `share` is the share of the work
    that it may take beside its siblings. `errors` are those that another shard did not make;
    `ejections` are the times that they cost it its jobs for a while. `wasted_tokens` were computed
    for clients that had gone. `recycles` are replacements because it had grown too large;
    `oom_kills` are kills by the kernel because memory ran out; `demoted` is set after it has left
    its GPU for the CPU. `notes` are results of measurements during the load, and the choices made
    by them. `canary` is unset before the first load. It has `slots` for so many batches while it is
    ready.
    """

    name: str
    pid: int | None
    state: str
    stage: str
    generation: int
    restarts: int
    device: str
    dtype: str
    cores: tuple[int, ...]
    memory_nodes: tuple[int, ...] = ()
    queue: int
    outstanding_tokens: int
    documents: int
    tokens: int
    documents_per_second: float
    p50_ms: float
    p95_ms: float
    memory_bytes: int
    last_error: str
    warnings: tuple[str, ...]
    trust: str = "full"
    share: float = 1.0
    errors: int = 0
    ejections: int = 0
    wasted_tokens: int = 0
    recycles: int = 0
    oom_kills: int = 0
    demoted: bool = False
    notes: tuple[str, ...] = ()
    canary: CanaryStatus | None = None
    slots: int = 0
    free_slots: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationStatus:
    """The map of a model from margins to relevance scores: sigmoid(slope * margin + intercept).

    It was `made` (RFC 3339) on so many labelled `pairs`. The expected calibration error is
    `ece_before` without and `ece_after` with it, on pairs that were held out. It is `stale` if it
    was made for other weights than those that are loaded.
    """

    slope: float
    intercept: float
    made: str
    pairs: int
    ece_before: float
    ece_after: float
    stale: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatus:
    """One model: `state` is `ready`, `degraded` (some shards ready), `loading` or `failed`.

    A model that the operator took out of service is `draining`, and then `drained`. `retries`
    counts jobs that were scored again, `retries_refused` those that the retry budget refused.
    `refused_pairs` are in quarantine because they end shards: many of them mean a poisonous text in
    variations, or a broken device. `confined_keys` have sent several of them lately, so all their
    documents are scored pair by pair. `weights` changes when a file of the checkpoint does; it is
    empty until a shard is ready, and without files.

    A model that is not loaded is `idle`: the next request loads it. It has been loaded `loads`
    times, the last time in `load_seconds`; `cold_requests` have waited for that, `cold_seconds` in
    all. `load` and `idle_seconds` are those of its configuration. It `is_leaving` while its
    operator unloads it and requests are still inside.

    `waits_for_room` is the reason why it waits for memory before its load; empty if it does not.
    `room_waits` loads have waited for that, `room_wait_seconds` in all. While it `makes_way` new
    requests wait, until those inside have left and it is evicted. `evictions` are counts by reason:
    `room` that another model needed, `excess` over the budget.

    `clean_text` are the cleaners of its texts, `cleaned_texts` the texts that they changed.
    """

    name: str
    state: str
    default: bool
    aliases: tuple[str, ...]
    source: str
    engine: str
    activation: str
    demonstration: bool
    max_length: int
    queue: int
    shards: tuple[ShardStatus, ...]
    max_shard_memory_mb: int = 0
    refused_pairs: int = 0
    confined_keys: tuple[str, ...] = ()
    retries: int = 0
    retries_refused: int = 0
    scores: ScoresStatus = field(default_factory=ScoresStatus)
    weights: str = ""
    calibration: CalibrationStatus | None = None
    load: str = "start"
    idle_seconds: float = 0.0
    loads: int = 0
    load_seconds: float = 0.0
    is_leaving: bool = False
    cold_requests: int = 0
    cold_seconds: float = 0.0
    waits_for_room: str = ""
    makes_way: bool = False
    room_waits: int = 0
    room_wait_seconds: float = 0.0
    evictions: Mapping[str, int] = field(default_factory=dict)
    clean_text: tuple[str, ...] = ()
    cleaned_texts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadOutcome:
    """The result of a reload.

    `attempt` is its number, `time` its end, in seconds since the Unix epoch. If it is `ok`,
    `added`, `changed`, `removed` and `kept` are names of models; if not, no model has changed and
    `errors` are the reasons. `warnings` are the changes that it could not bring into effect.
    """

    attempt: int
    time: float
    seconds: float
    ok: bool
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysReload:
    """The last reload of the keys, which waits for no model; `attempts` counts all of them.

    If it is `ok`, the keys are in effect; if not, the old ones are, and `errors` are the reasons.
    """

    attempts: int
    time: float
    seconds: float
    ok: bool
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadStatus:
    """The reloads since the start, and the one in progress.

    `generation` is 1 at the start, and one more after each reload that took effect. `attempts`
    counts the reloads that have begun. `coming` are revisions that start beside the serving ones,
    `leaving` those that are replaced and finish their jobs. `keys` is the last reload of the keys.
    """

    generation: int
    attempts: int
    running: bool
    last: ReloadOutcome | None
    coming: tuple[ModelStatus, ...]
    leaving: tuple[ModelStatus, ...]
    keys: KeysReload


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStatus:
    """One key: `state` is `good`, `expired` or `revoked`.

    `open` counts the requests in progress. The others count since the gateway started: `requests`
    were accepted, `refused` were not, because of the key's limits or its models.
    """

    id: str
    name: str
    state: str
    admin: bool
    expires: str | None
    weight: float
    open: int
    requests: int
    refused: int
    documents: int
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealt:
    """A model of a split: its share by the weights, and its requests since the start."""

    model: str
    share: float
    requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitStatus:
    """A name whose requests are divided among models."""

    name: str
    default: bool
    models: tuple[Dealt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeStatus:
    """A name behind which two models score, one after the other.

    So many documents kept the score of the first model (`first_documents`), or got that of the
    second (`then_documents`), since the start.
    """

    name: str
    default: bool
    first: str
    then: str
    keep: int
    within: float | None
    first_documents: int
    then_documents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowStatus:
    """A model and the shadow that it is compared with.

    Of the requests drawn for comparison since both revisions serve, so many are `compared`,
    `dropped` (too many waited, too large, the shadow did not score, or was not idle in time),
    `failed` (the shadow could not score them; `last_error` is the last reason), or `waiting` now.
    """

    model: str
    shadow: str
    percent: float
    waiting: int
    compared: int
    dropped: int
    failed: int
    last_error: str
    agreement: Agreement


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayStatus:
    """The whole gateway: models, other names, shadows and keys, in the order of their files.

    `history` is there if the query asks for it.
    """

    version: str
    uptime_seconds: float
    models: tuple[ModelStatus, ...]
    reload: ReloadStatus
    keys: tuple[KeyStatus, ...] = ()
    splits: tuple[SplitStatus, ...] = ()
    cascades: tuple[CascadeStatus, ...] = ()
    shadows: tuple[ShadowStatus, ...] = ()
    memory: tuple[PoolStatus, ...] = ()
    warnings: tuple[str, ...] = ()
    score_cache: ScoreCacheStatus = field(default_factory=ScoreCacheStatus)
    figures: Figures = field(default_factory=Figures)
    history: HistoryFigures | None = None
