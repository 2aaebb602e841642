"""The top level of the configuration: its keys, limits, defaults and descriptions.

Everything here is frozen and refuses unknown keys. Operators read the descriptions in
docs/configuration.md, in an editor (configs/schema.json) and in error messages. `Settings(...)`
takes its arguments as they are; `gateway.config.load` reads file, environment and flags.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, StringConstraints, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.config import checks
from gateway.config.cascades import CascadeSettings, cascade_problems
from gateway.config.http_sections import HttpSettings, LimitSettings, TlsSettings
from gateway.config.memory_section import MemoryBudgetSettings
from gateway.config.model_sections import ModelSettings, SplitSettings, SupervisionSettings
from gateway.config.problems import Problem
from gateway.config.sections import InstructionName, InstructionText, Name, Seconds
from gateway.dialects.base import Limits

Origin = Annotated[str, StringConstraints(pattern=r"^(\*|https?://[^/\s*]+)$")]

EMBEDDED = {
    "embedded": ModelSettings(source="embedded", aliases=("embedded-bert",)),
    "embedded-qwen3": ModelSettings(source="embedded:qwen3"),
}
"""The models of a gateway without configuration, both in the package: a small real one, which also
answers to the name of the demonstration that it replaced, and a demonstration of a decoder."""


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
    """Address to listen on. An address that other machines can reach needs `keys_file` or
    `allow_unauthenticated`."""

    port: int = Field(default=8080, ge=0, le=65_535)
    """Port to listen on; 0 for any free one."""

    allow_unauthenticated: bool = False
    """Permission for any client that reaches the port to use it. Without keys, listening on an
    address that others can reach is refused unless this is set. With `keys_file` it has no
    effect."""

    keys_file: Path | None = None
    """File of API keys (relative to this file), which `gateway key` makes; a reload reads it
    again. Unset: no key is required."""

    admin_socket: Path | None = None
    """Unix socket for the operator (relative to this file), mode 0600: a process that can open it
    needs no key, for anything. `gateway status`, `reload` and `drain` find it by
    `GATEWAY_ADMIN_SOCKET`, or at `/run/rerank-gateway/admin.sock`. Unset: `PORT.sock` in
    `$XDG_RUNTIME_DIR/rerank-gateway` or `/tmp/rerank-gateway-UID`, where they find it by the
    port."""

    cors_origins: tuple[Origin, ...] = ()
    """Origins of web pages whose scripts may send requests, such as `https://search.example`; `*`
    for all. They need a key as any client does, and cookies are never accepted."""

    calibration_file: Path | None = None
    """File of calibrations (relative to this file), which `gateway calibrate` makes; a reload
    reads it again. Unset: a relevance score is the sigmoid of the margin."""

    default_model: str | None = None
    """Model, by name or alias, split or cascade of a request that names none; unset for the first
    model."""

    accept_any_model: bool = False
    """Default model for any name that nothing here has, in place of 404, with a warning: for
    clients that send names of hosted models, such as `rerank-v4.0-pro`, `rerank-english-v2.0` or
    `jina-reranker-v2-base-multilingual`, and go on without an error. Names that differ from a
    model's in case or owner only mean that model either way."""

    default_timeout_seconds: Seconds = 60.0
    """Deadline of a request that sets none, in seconds."""

    max_timeout_seconds: Seconds = 600.0
    """Longest deadline that a request may set, in seconds."""

    drain_seconds: float = Field(default=30.0, ge=0, le=3600, allow_inf_nan=False)
    """Time limit for accepted requests to finish after SIGTERM, in seconds."""

    drain_notice_seconds: float = Field(default=0.0, ge=0, le=3600, allow_inf_nan=False)
    """Time after SIGTERM during which new requests are still accepted while `/readyz` fails, in
    seconds: for a load balancer to notice. `drain_seconds` begin after it."""

    ready_when_idle: bool = True
    """Readiness of models that are not loaded (`load`, `idle_seconds`). With it they count as
    ready in `/readyz`, since their next request loads them. Without it `/readyz` fails while no
    model is loaded, and so does `/readyz?model=NAME` for an idle one."""

    offline: bool = False
    """Offline mode: the Hugging Face hub is never contacted. HF_HUB_OFFLINE=1 sets it too."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least important level of log lines that are written."""

    log_format: Literal["auto", "json", "console"] = "auto"
    """Format of log lines. `auto` is `console` on a terminal, and `json`, one object per line,
    elsewhere."""

    tracing: bool = False
    """Export of spans by OpenTelemetry, to the target of the OTEL_* variables. Needs the extra
    `otel`. A `traceparent` of a client is logged and sent back either way."""

    trace_text_characters: int = Field(default=0, ge=0, le=100_000)
    """Longest piece of each query and document that spans carry, in characters; 0 for no text at
    all. Then texts of clients leave for the collector, and are kept as long as it keeps spans."""

    score_cache_mb: int = Field(default=64, ge=0, le=1_000_000)
    """Maximum size of the score cache in memory, in MiB: about 1,600 scores each; 0 for none. A
    pair that was scored before is not scored again. Texts are not kept."""

    score_cache_seconds: Seconds = 3600.0
    """Time for which a score is kept, in seconds."""

    score_cache_path: Path | None = None
    """File on a disk of this machine (relative to this file) for scores that outlive the gateway;
    several gateways of one machine may share it. A secret lies beside it, in `PATH.secret`. Unset:
    no scores on disk."""

    score_cache_disk_mb: int = Field(default=256, ge=16, le=1_000_000)
    """Maximum size of that file and its log, in MiB: about 9,000 scores each."""

    score_cache_url: SecretStr | None = None
    """Redis or Valkey for scores that gateways have in common: `redis://USER:PASSWORD@HOST:PORT/DB`,
    `rediss://` for TLS, `unix:///PATH`, `redis+sentinel://HOST,HOST/SERVICE` or
    `redis+cluster://HOST,HOST`. Needs the extra `redis` and `score_cache_secret_file`. Unset: no
    scores in common."""

    score_cache_secret_file: Path | None = None
    """File with the secret of the keys of kept scores (relative to this file), at least 32 bytes:
    the same for all gateways that share scores. Unset: a secret of this gateway."""

    limits: LimitSettings = LimitSettings()
    http: HttpSettings = HttpSettings()
    tls: TlsSettings = TlsSettings()
    supervision: SupervisionSettings = SupervisionSettings()
    memory_budget: MemoryBudgetSettings = MemoryBudgetSettings()

    models: dict[Name, ModelSettings] = Field(default=EMBEDDED, min_length=1)
    """Models by public name, `[models.NAME]`. Unset, or `{}`: the two embedded ones. A reload of a
    file that lacks models which it had is refused, unless the file has `models = {}` or `gateway
    reload --remove` asks for it."""

    instructions: dict[InstructionName, InstructionText] = Field(default={})
    """Instructions that models and requests may name: `[instructions] legal = "..."` is sent as
    `"instruction": "@legal"`. While there are any, an unknown name is refused. A reload renews
    those of requests at once, and restarts the models that name one that has changed."""

    splits: dict[Name, SplitSettings] = Field(default={})
    """Names behind which requests are divided among models, `[splits.NAME]`."""

    cascades: dict[Name, CascadeSettings] = Field(default={})
    """Names behind which a model orders all documents, and a second one scores the best,
    `[cascades.NAME]`."""

    def request_limits(self) -> Limits:
        """Return the limits of a request."""
        return Limits(
            documents=self.limits.documents,
            document_bytes=self.limits.document_bytes,
            query_bytes=self.limits.query_bytes,
            instructions=self.instructions,
        )

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
        problems = self._contradictions()
        if problems:
            text = "; ".join(str(problem) for problem in problems)
            raise PydanticCustomError("cross_check", "{text}", {"text": text, "problems": problems})
        return self

    def _contradictions(self) -> list[Problem]:
        """Return every contradiction between keys that are fine one by one."""
        has_access_rule = self.allow_unauthenticated or self.keys_file is not None
        return [
            *checks.open_port(self.host, has_access_rule=has_access_rule),
            *checks.tls_pair(self.tls),
            *checks.default_model(self.default_model, self.models, {*self.splits, *self.cascades}),
            *checks.model_names(self.models),
            *checks.sources(self.models),
            *checks.onnx_files(self.models),
            *checks.canaries(self.models),
            *checks.limits(self.limits),
            *checks.score_stores(
                self.score_cache_mb,
                self.score_cache_path,
                self.score_cache_url,
                self.score_cache_secret_file,
            ),
            *checks.timeouts(self.default_timeout_seconds, self.max_timeout_seconds),
            *checks.backoff(self.supervision),
            *checks.instructions(self.models, self.instructions),
            *checks.passages(self.models),
            *checks.shadows(self.models, self.splits),
            *checks.fallbacks(self.models),
            *checks.reserved_name(self.models, self.splits, self.cascades),
            *checks.split_names(self.models, self.splits),
            *cascade_problems(self.cascades, self.models, self.splits),
        ]
