"""The keys of the configuration, with their limits, defaults and descriptions.

Everything here is frozen and refuses unknown keys. The descriptions are what an operator reads, in
docs/configuration.md, in an editor (configs/schema.json) and in error messages. `Settings(...)`
takes its arguments as they are; file, environment and flags are `gateway.config.load`'s business.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.config.canary import CanarySettings
from gateway.config.checks import cross_check
from gateway.config.http import HttpSettings, TlsSettings
from gateway.config.limits import LimitSettings
from gateway.config.moving import Name, ShadowSettings, SplitSettings
from gateway.config.section import Seconds, Section
from gateway.domain import LongDocuments, Policy
from gateway.lifecycle import RestartPolicy
from gateway.placement import DEVICE

Device = Annotated[str, StringConstraints(pattern=f"^({DEVICE})$")]
Origin = Annotated[str, StringConstraints(pattern=r"^(\*|https?://[^/\s*]+)$")]


def _one_or_many(value: object) -> object:
    """Let a single name stand for a list of one."""
    return (value,) if isinstance(value, str) else value


Devices = Annotated[
    tuple[Device, ...],
    BeforeValidator(_one_or_many),
    Field(min_length=1),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^({DEVICE})$"},
                {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "string", "pattern": f"^({DEVICE})$"},
                },
            ]
        }
    ),
]


class SupervisionSettings(Section):
    """When a shard is given up, and when it is started again."""

    load_timeout_seconds: Seconds = 600.0
    """How long a loading shard may report no progress before it is started anew."""

    backoff_first_seconds: Seconds = 0.5
    """The wait before the first restart; it doubles with each crash in a row."""

    backoff_longest_seconds: Seconds = 60.0
    """The longest wait between restarts."""

    crash_limit: int = Field(default=5, ge=1, le=1000)
    """More crashes than this within `crash_window_seconds`, and the shard counts as failed."""

    crash_window_seconds: Seconds = 60.0
    """See `crash_limit`."""

    retry_failed_seconds: Seconds = 300.0
    """How often a shard that failed by crashing is tried again."""

    cpu_after_gpu_failures: int = Field(default=0, ge=0, le=1000)
    """After so many failures of its GPU within ten minutes a shard goes on on the CPU, until its model
    is reloaded; 0 for never. Slow, but it serves; `gateway status` says so."""

    stop_seconds: Seconds = 10.0
    """How long a shard may take to stop before it is killed."""

    kill_seconds: Seconds = 10.0
    """How long the process of a killed shard may still be there. Then its jobs are scored elsewhere, and it
    has failed until that is gone."""

    retry_share: float = Field(default=0.2, ge=0, le=1, allow_inf_nan=False)
    """How many of a model's jobs may be scored again because their shard ended: this share of those
    of the last ten seconds, and `retries_per_second`. Beyond it the answer is 503 `retry_budget`."""

    retries_per_second: float = Field(default=10.0, ge=0, le=10_000, allow_inf_nan=False)
    """See `retry_share`; for each replica of the model."""

    ejection_seconds: Seconds = 10.0
    """How long a replica gets no jobs when it errs at what another one scores; doubled each further
    time, up to five minutes. The last replica is never left out."""

    canary_seconds: Seconds = 60.0
    """After how long without work a shard scores a few known pairs again."""

    canary_batches: int = Field(default=1000, ge=1, le=1_000_000)
    """After how many batches it does so."""

    reload_timeout_seconds: Seconds = 1800.0
    """How long models that a reload starts may take until they are ready; after that it fails, and
    everything stays as it was."""

    def policy(self) -> RestartPolicy:
        """Return these keys as the restart policy of the lifecycle."""
        return RestartPolicy(
            first_seconds=self.backoff_first_seconds,
            longest_seconds=self.backoff_longest_seconds,
            crash_limit=self.crash_limit,
            crash_window_seconds=self.crash_window_seconds,
            retry_failed_seconds=self.retry_failed_seconds,
            cpu_after_gpu_failures=self.cpu_after_gpu_failures,
        )


class ModelSettings(Section):
    """One model: what is loaded, where, and by which names clients ask for it."""

    source: str = Field(min_length=1, max_length=4096)
    """A folder (relative to this file), a Hugging Face id, `embedded:bert` or `embedded:qwen3`."""

    revision: str = ""
    """A branch, tag or commit on the hub; empty for the default branch."""

    aliases: tuple[Name, ...] = ()
    """Other names that clients may use, for example `rerank-english-v3.0`."""

    engine: Literal["auto", "causal", "classifier", "openvino", "onnx", "fake"] = "auto"
    """How scores are computed; `auto` looks at the checkpoint, and takes a conversion for OpenVINO
    (`gateway convert`) where it measures faster. `onnx` takes a folder with an exported graph. `fake`
    is for tests."""

    onnx_file: str = Field(default="", max_length=4096)
    """Which graph of the folder is served by the engine `onnx`, for example `model_quantized.onnx`,
    which is looked for in `onnx/` as well; empty for `onnx/model.onnx`, or the only one there is."""

    dtype: Literal["auto", "fp32", "bf16", "fp16", "int8"] = "auto"
    """`auto` measures fp32 and bf16 on a CPU; `int8` serves there if faster and ranking as bf16."""

    int8_anyway: bool = False
    """Whether int8 serves even where it does not rank as bf16 does, as with random weights."""

    devices: Devices = ("auto",)
    """`auto` (every GPU, else every CPU socket), or a list of `cpu`, `cpu:N` (socket N), `cuda`,
    `cuda:N`, `mps`. A GPU named here must be there; `auto` falls back to the CPU and says so."""

    replicas: int | None = Field(default=None, ge=1, le=256)
    """Shards in total, dealt out over the devices in turn; unset for one per device. Replicas on
    one socket get disjoint cores."""

    threads: int = Field(default=0, ge=0, le=1024)
    """Compute threads of each shard; 0 for as many as its cores."""

    max_length: int = Field(default=0, ge=0, le=1_000_000)
    """The most tokens of query and document together; 0 for the checkpoint's own limit. What becomes
    of a longer document says `long_documents`."""

    long_documents: Policy = "truncate"
    """What becomes of a document that is too long, when a request does not say: `truncate` (its end
    is cut, and the reply says so), `passages` (it is read in overlapping passages, and has the score
    of the best one), or `error` (the request is refused)."""

    max_passages: int = Field(default=0, ge=0, le=1_000_000)
    """The most passages of one document, when a request does not say; 0 for all. Documents with more
    count as truncated."""

    passage_tokens: int = Field(default=0, ge=0, le=1_000_000)
    """The most tokens of one passage, at least 16; 0 for as many as fit beside the query, so that a
    document that fits is one passage."""

    passage_overlap: int = Field(default=64, ge=0, le=100_000)
    """How many tokens a passage has in common with the one before; at most half of a passage."""

    passage_pooling: str = Field(default="max", pattern="^(max|mean|top[1-9][0-9]{0,3})$")
    """How the margins of its passages become that of a document: `max` (that of the best one),
    `mean`, or `topN` (the mean of the best N)."""

    token_budget: int = Field(default=0, ge=0, le=10_000_000)
    """The most tokens of one batch, padding included; 0 for the engine's choice."""

    max_shard_memory_mb: int = Field(default=0, ge=0, le=100_000_000)
    """The most resident memory of one shard, in MiB; one that has grown beyond it finishes what it has
    and is started anew, one at a time, without failing a request. 0 for no limit. Memory on a GPU does
    not count."""

    prefix_cache_mb: int = Field(default=256, ge=0, le=1_000_000)
    """The most MiB of each shard for prompts and queries computed before, and four times that for
    those that documents inside it wait for; for rerankers that are decoders."""

    template: str = Field(default="auto", min_length=1)
    """The prompt around query and document, by name; `auto` looks at the checkpoint."""

    instruction: str = ""
    """What relevance means, when a request does not say; empty for the template's own."""

    canary: Literal["full", "own", "numeric"] = "full"
    """What a shard must prove before it serves, and now and then: `full`, that known pairs in several
    languages and those in `canaries` score in the right order; `own`, those in `canaries` alone, for a
    field or language of its own; `numeric`, that scores are numbers, for weights that are random or
    experimental on purpose. Replies then carry a warning."""

    canaries: tuple[CanarySettings, ...] = Field(default=(), max_length=100)
    """Pairs of your own, `[[models.NAME.canaries]]`."""

    shadow: ShadowSettings | None = None
    """A second model to compare with, `{ model = "qwen3", percent = 5 }`."""

    guard_special_tokens: bool = True
    """Whether special tokens in texts are read as plain text; off, a document can steer its score."""

    def reading(self) -> LongDocuments:
        """Return what happens to long documents."""
        pooling = {"max": "1", "mean": "0"}.get(self.passage_pooling, self.passage_pooling)
        return LongDocuments(
            policy=self.long_documents,
            most_passages=self.max_passages,
            passage_tokens=self.passage_tokens,
            passage_overlap=self.passage_overlap,
            pool_best=int(pooling.removeprefix("top")),
        )


EMBEDDED = {
    "embedded-bert": ModelSettings(source="embedded:bert"),
    "embedded-qwen3": ModelSettings(source="embedded:qwen3"),
}
"""What is served when nothing is configured: two small demonstration models in the package."""


class Settings(BaseSettings):
    """The whole configuration."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        env_prefix="GATEWAY_",
        env_nested_delimiter="__",
    )

    host: str = Field(default="127.0.0.1", min_length=1)
    """The address to listen on. Others than this machine's own need `keys_file` or
    `allow_unauthenticated`."""

    port: int = Field(default=8080, ge=0, le=65_535)
    """The port to listen on; 0 for any free one."""

    allow_unauthenticated: bool = False
    """Whether anyone who reaches the port may use it. Without keys, listening on an address that
    others can reach is refused unless this is set. With `keys_file` it has no effect."""

    keys_file: Path | None = None
    """The file of API keys (relative to this file), which `gateway key` makes; a reload reads it
    again. Unset: no key is asked for."""

    admin_socket: Path | None = None
    """A Unix socket for the operator (relative to this file), mode 0600: whoever can open it needs no
    key, for anything. `gateway status`, `reload` and `drain` find it by `GATEWAY_ADMIN_SOCKET`, or at
    `/run/rerank-gateway/admin.sock`. Unset: none."""

    cors_origins: tuple[Origin, ...] = ()
    """Origins of web pages whose scripts may ask, such as `https://search.example`; `*` for all. They
    need a key like everybody else, and cookies are never taken."""

    calibration_file: Path | None = None
    """The file of calibrations (relative to this file), which `gateway calibrate` makes; a reload reads
    it again. Unset: a relevance score is the sigmoid of the margin."""

    default_model: str | None = None
    """The model, by name or alias, of a request that names none, or a split; unset for the first
    model."""

    default_timeout_seconds: Seconds = 60.0
    """How long a request may take when it does not say."""

    max_timeout_seconds: Seconds = 600.0
    """The longest time a request may ask for."""

    drain_seconds: float = Field(default=30.0, ge=0, le=3600, allow_inf_nan=False)
    """How long accepted requests may take to finish after SIGTERM."""

    drain_notice_seconds: float = Field(default=0.0, ge=0, le=3600, allow_inf_nan=False)
    """How long after SIGTERM new requests are still taken while `/readyz` says no: for a load
    balancer to notice. The time to drain comes after it."""

    offline: bool = False
    """Whether the Hugging Face hub is never asked. HF_HUB_OFFLINE=1 sets it too."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important log lines that are written."""

    log_format: Literal["auto", "json", "console"] = "auto"
    """`auto` is for people on a terminal, one JSON object per line elsewhere."""

    tracing: bool = False
    """Whether spans are sent by OpenTelemetry, to where the OTEL_* variables say. Needs the extra
    `otel`. A `traceparent` of a client is logged and sent back either way."""

    limits: LimitSettings = LimitSettings()
    http: HttpSettings = HttpSettings()
    tls: TlsSettings = TlsSettings()
    supervision: SupervisionSettings = SupervisionSettings()

    models: dict[Name, ModelSettings] = Field(default=EMBEDDED, min_length=1)
    """The models by public name, `[models.NAME]`. Unset: the two embedded ones."""

    splits: dict[Name, SplitSettings] = Field(default={})
    """Names behind which requests are dealt out to models, `[splits.NAME]`."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments only: `Settings(...)` means the same whatever the environment."""
        return (init_settings,)

    @model_validator(mode="after")
    def _cross_check(self) -> Self:
        problems = cross_check(self)
        if problems:
            text = "; ".join(str(problem) for problem in problems)
            raise PydanticCustomError("cross_check", "{text}", {"text": text, "problems": problems})
        return self

    def model_name(self, name: str | None = None) -> str | None:
        """Return the model that a name or alias means (`None`: the default one), if there is one."""
        wanted = self.default_model if name is None else name
        if wanted is None:
            return next(iter(self.models))
        if wanted in self.models:
            return wanted
        return next((key for key, one in self.models.items() if wanted in one.aliases), None)
