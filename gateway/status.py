"""What `/status` says: a snapshot of models and shards, as plain frozen values.

These are the keys of the JSON behind `gateway status`; keys may be added, none is renamed.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardStatus:
    """One shard as the supervisor and the router see it.

    `state` is a name of `gateway.lifecycle.State` in lower case; `stage` is what a loading shard is
    doing. `queue` counts jobs inside the shard, `outstanding_tokens` their estimated tokens.
    `documents`, `tokens` and `restarts` count since the gateway started; `p50_ms` and `p95_ms` are
    over the last jobs, from send to answer, 0 before the first.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatus:
    """One model: `state` is `ready`, `degraded` (some shards ready), `loading` or `failed`."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayStatus:
    """Everything: version, age, and every model in the order of the configuration."""

    version: str
    uptime_seconds: float
    models: tuple[ModelStatus, ...]
