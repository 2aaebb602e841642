"""What `/status` says: a snapshot of models and shards, as plain frozen values.

These are the keys of the JSON behind `gateway status`; keys may be added, none is renamed.
"""

from dataclasses import dataclass, field

from gateway.comparison import Agreement
from gateway.drift import ScoresStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryStatus:
    """What the known pairs of a shard have shown last.

    `mode` is `full`, `own` or `numeric`. `rounds` and `failures` count since the gateway started,
    `milliseconds` is what the last round took. `spread` is the mean margin of right documents less
    that of wrong ones after the last load; unset where order was not asked for.
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
    """One shard as the supervisor and the router see it.

    `state` is a name of `gateway.lifecycle.State` in lower case; `stage` is what a loading shard is
    doing. `queue` counts jobs inside the shard, `outstanding_tokens` their estimated tokens.
    `documents`, `tokens` and `restarts` count since the gateway started; `p50_ms` and `p95_ms` are
    over the last jobs, from send to answer, 0 before the first. `trust` is a value of
    `gateway.standing.Trust`, `share` how much of the work it may take, beside its siblings; `errors`
    are those that another shard did not make, `ejections` how often they cost it its jobs for a
    while. `wasted_tokens` were computed for clients that had gone. `recycles` counts how often it was
    replaced because it had grown too large, `oom_kills` how often the kernel ended it because memory
    ran out; `demoted` says that it has left its GPU for the CPU. `notes` say what was measured when
    the model was loaded, and chosen by it. `canary` is unset before the first load.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationStatus:
    """What turns the margins of a model into relevance scores: sigmoid(slope * margin + intercept).

    It was `made` (RFC 3339) on so many labelled `pairs`. The expected calibration error was
    `ece_before` it, and is `ece_after` on pairs that were held out. It is `stale` if it was made for
    other weights than those that are loaded.
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

    One that the operator took out of service is `draining`, and then `drained`. `retries` counts jobs
    that were scored again, `retries_refused` those that were one too many. `refused_pairs` are in
    quarantine because they end shards: many of them mean poison that comes in variations, or a device
    that is broken. `confined_keys` have sent several of them lately, so that all they send is scored pair
    by pair. `weights` changes when a file of the checkpoint does; it is empty until a shard is
    ready, and where there are no files.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadOutcome:
    """How a reload ended.

    `attempt` is its number, `time` when it ended, in seconds since the Unix epoch. If it is `ok`,
    `added`, `changed`, `removed` and `kept` are names of models; if not, everything is as it was and
    `errors` say why. `warnings` are what it could not bring into effect.
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
class ReloadStatus:
    """What reloads have done and are doing.

    `generation` counts what has been served: 1 from the start, one more with each reload that took
    effect. `attempts` counts the reloads that have begun. `coming` are editions that start beside
    the ones that serve, `leaving` those that are replaced and finish what they have.
    """

    generation: int
    attempts: int
    running: bool
    last: ReloadOutcome | None
    coming: tuple[ModelStatus, ...]
    leaving: tuple[ModelStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStatus:
    """One key: `state` is `good`, `expired` or `revoked`.

    `open` counts the requests that are being answered, the others count since the gateway started:
    `requests` those that were let in, `refused` those that were not, because of its limits or its
    models.
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
    """A model of a split: its share by the weights, and the requests that it got since the start."""

    model: str
    share: float
    requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitStatus:
    """A name behind which requests are dealt out to models."""

    name: str
    default: bool
    models: tuple[Dealt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowStatus:
    """A model and the one that it is compared with.

    Of the requests drawn for comparison since both editions serve, so many are `compared`, `dropped`
    (too many waited, too large, the shadow did not score, or was not idle in time) or `failed` (it
    could not score them; `last_error` says why), or `waiting` now.
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
    """Everything: version, age, models, splits, shadows and keys, in the order of their files."""

    version: str
    uptime_seconds: float
    models: tuple[ModelStatus, ...]
    reload: ReloadStatus
    keys: tuple[KeyStatus, ...] = ()
    splits: tuple[SplitStatus, ...] = ()
    shadows: tuple[ShadowStatus, ...] = ()
