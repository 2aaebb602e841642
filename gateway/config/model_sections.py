"""Sections `[models.NAME]`, `[splits.NAME]` and `[supervision]`: what is served, and its shards."""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema

from gateway.config.cleaners import Cleaners
from gateway.config.sections import Name, Seconds, Section
from gateway.domain.request import LongDocuments, Policy
from gateway.supervision.lifecycle import RestartPolicy
from gateway.supervision.placement import DEVICE

Weight = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
Device = Annotated[str, StringConstraints(pattern=f"^({DEVICE})$")]


def _one_or_many(value: object) -> object:
    """Accept a single name as a list of one."""
    return (value,) if isinstance(value, str) else value


_DEVICE_SCHEMA = {"type": "string", "pattern": f"^({DEVICE})$"}

Devices = Annotated[
    tuple[Device, ...],
    BeforeValidator(_one_or_many),
    Field(min_length=1),
    WithJsonSchema(
        {"anyOf": [_DEVICE_SCHEMA, {"type": "array", "minItems": 1, "items": _DEVICE_SCHEMA}]}
    ),
]


OnDeadline: TypeAlias = Literal["fail", "partial"]
"""The answer to a request whose deadline passes."""

LoadAt: TypeAlias = Literal["start", "first-use"]
"""The time of a model's first load."""

INPUT_ORDER = "input-order"
"""The fallback that needs no model."""


class SupervisionSettings(Section):
    """Supervision of shards: time limits, restarts, retries and ejection."""

    load_timeout_seconds: Seconds = 600.0
    """Time limit for a loading shard without progress, in seconds; the shard is then restarted."""

    backoff_first_seconds: Seconds = 0.5
    """Delay before the first restart, in seconds; it doubles with each crash in a row."""

    backoff_longest_seconds: Seconds = 60.0
    """Longest delay between restarts, in seconds."""

    crash_limit: int = Field(default=5, ge=1, le=1000)
    """Number of crashes within `crash_window_seconds` beyond which the shard counts as failed."""

    crash_window_seconds: Seconds = 60.0
    """Period over which crashes are counted for `crash_limit`, in seconds."""

    retry_failed_seconds: Seconds = 300.0
    """Interval between further starts of a shard that failed by crashing, in seconds."""

    cpu_after_gpu_failures: int = Field(default=0, ge=0, le=1000)
    """Number of failures of its GPU within ten minutes after which a shard goes on on the CPU,
    until its model is reloaded; 0 for never. It is slow, but it serves; `gateway status` shows
    it."""

    stop_seconds: Seconds = 10.0
    """Time limit for a shard to stop before it is killed, in seconds."""

    kill_seconds: Seconds = 10.0
    """Time limit for the process of a killed shard to end, in seconds. After it the shard's jobs
    are scored elsewhere, and the shard counts as failed until the process has ended."""

    retry_share: float = Field(default=0.2, ge=0, le=1, allow_inf_nan=False)
    """Retry budget of a model: the jobs that may be scored again because their shard ended, as a
    share of the jobs of the last ten seconds, beside `retries_per_second`. Beyond it the reply is
    503 `retry_budget`."""

    retries_per_second: float = Field(default=10.0, ge=0, le=10_000, allow_inf_nan=False)
    """Retries that are always allowed, per second and replica of the model; see `retry_share`."""

    ejection_seconds: Seconds = 10.0
    """First ejection time of a replica that fails on what another replica scores, in seconds; it
    doubles each further time, up to five minutes. The last replica is never ejected."""

    canary_seconds: Seconds = 60.0
    """Time without work after which a shard scores a few known pairs again, in seconds."""

    canary_batches: int = Field(default=1000, ge=1, le=1_000_000)
    """Number of batches after which a shard scores a few known pairs again."""

    reload_timeout_seconds: Seconds = 1800.0
    """Time limit for the models that a reload starts to become ready, in seconds. After it the
    reload fails, and everything stays as it was."""

    def restart_policy(self) -> RestartPolicy:
        """Return these keys as the restart policy of the lifecycle."""
        return RestartPolicy(
            first_seconds=self.backoff_first_seconds,
            longest_seconds=self.backoff_longest_seconds,
            crash_limit=self.crash_limit,
            crash_window_seconds=self.crash_window_seconds,
            retry_failed_seconds=self.retry_failed_seconds,
            cpu_after_gpu_failures=self.cpu_after_gpu_failures,
        )


class CanarySettings(Section):
    """A query with a known answer. The right document must beat the wrong one."""

    query: str = Field(min_length=1, max_length=10_000)
    """Query of the pair."""

    right: str = Field(min_length=1, max_length=10_000)
    """Document that answers the query."""

    wrong: str | None = Field(default=None, max_length=10_000)
    """Document that does not answer the query."""

    right_score: float | None = Field(default=None, ge=0, le=1)
    """Expected relevance score of the right document."""

    wrong_score: float | None = Field(default=None, ge=0, le=1)
    """Expected relevance score of the wrong document."""

    tolerance: float = Field(default=0.02, ge=0, le=1)
    """Largest accepted difference between a score and the expected one."""


class ShadowSettings(Section):
    """A second model that scores some requests again, in the background, to be compared."""

    model: Name
    """Second model, by name or alias. No client gets its scores, and it has no shadow for these."""

    percent: float = Field(default=5.0, gt=0, le=100, allow_inf_nan=False)
    """Share of the requests that the second model scores as well, in percent, chosen at random."""


class SplitSettings(Section):
    """A name without shards of its own, behind which requests are divided among models."""

    models: dict[Name, Weight] = Field(min_length=1)
    """Models, by name or alias, and their weights: `{ dity = 90, qwen3 = 10 }`. Requests of one
    API key, or without keys of one query, go to the same model."""


class ModelSettings(Section):
    """One model: its source, its shards, and the names by which clients ask for it."""

    source: str = Field(min_length=1, max_length=4096)
    """Folder (relative to this file), Hugging Face id, or a model that is part of the installation:
    `embedded` (a small real one), `embedded:bert`, `embedded:qwen3` (demonstrations)."""

    revision: str = ""
    """Branch, tag or commit on the hub; empty for the default branch."""

    aliases: tuple[Name, ...] = ()
    """Other names that clients may use, for example `rerank-english-v3.0`."""

    engine: Literal[
        "auto", "causal", "classifier", "embedder", "late", "mlx", "openvino", "onnx", "fake"
    ] = "auto"
    """Engine that computes the scores. `auto` follows the checkpoint, and takes a conversion for
    OpenVINO (`gateway convert`) where it measures faster. `onnx` takes a folder with an exported
    graph. `mlx` is the engine of the device `mlx`. `fake` is for tests."""

    onnx_file: str = Field(default="", max_length=4096)
    """Graph of the folder that the engine `onnx` serves, for example `model_quantized.onnx`, also
    searched in `onnx/`; empty for `onnx/model.onnx`, or the only one there is."""

    dtype: Literal["auto", "fp32", "bf16", "fp16", "int8"] = "auto"
    """Number format of the computation. `auto` measures fp32 and bf16 on a CPU; `int8` serves
    there if it is faster and ranks as bf16 does, or fp32 where bf16 is slow."""

    int8_anyway: bool = False
    """Permission for int8 to serve even where it does not rank as bf16 does, as with random
    weights."""

    devices: Devices = ("auto",)
    """Devices of the shards: `auto` (every GPU, else every CPU socket), or a list of `cpu`,
    `cpu:N` (socket N), `cuda`, `cuda:N`, `mlx`, `mps`. A GPU named here must be there; `auto` falls
    back to the CPU and reports it. `mlx` computes Qwen3 decoders by Apple's MLX: on the GPU of
    Apple silicon, elsewhere on the CPU."""

    replicas: int | None = Field(default=None, ge=1, le=256)
    """Shards in total, assigned to the devices in turn; unset for one per device. Replicas on one
    socket get disjoint cores."""

    threads: int = Field(default=0, ge=0, le=1024)
    """Compute threads of each shard; 0 for as many as its cores."""

    max_length: int = Field(default=0, ge=0, le=1_000_000)
    """Maximum length of query and document together, in tokens; 0 for the checkpoint's own limit.
    `long_documents` decides about longer documents."""

    long_documents: Policy = "truncate"
    """Treatment of a document that is too long, unless a request chooses: `truncate` (its end is
    cut, and the reply warns), `passages` (it is read in overlapping passages, and has the score of
    the best one), or `error` (the request is refused)."""

    max_passages: int = Field(default=0, ge=0, le=1_000_000)
    """Maximum number of passages of one document, unless a request chooses; 0 for all. A document
    with more counts as truncated."""

    passage_tokens: int = Field(default=0, ge=0, le=1_000_000)
    """Maximum length of one passage, in tokens, at least 16; 0 for as many as fit beside the query,
    so that a document that fits is one passage."""

    passage_overlap: int = Field(default=64, ge=0, le=100_000)
    """Overlap of a passage with the one before, in tokens; at most half of a passage."""

    passage_pooling: str = Field(default="max", pattern="^(max|mean|top[1-9][0-9]{0,3})$")
    """Margin of a document from the margins of its passages: `max` (that of the best one), `mean`,
    or `topN` (the mean of the best N)."""

    token_budget: int = Field(default=0, ge=0, le=10_000_000)
    """Maximum size of one batch, in tokens, padding included; 0 for the engine's choice."""

    max_shard_memory_mb: int = Field(default=0, ge=0, le=100_000_000)
    """Maximum resident memory of one shard, in MiB; 0 for none. A shard beyond it finishes
    its jobs and is restarted, one at a time, without failing a request. Memory on a GPU does not
    count."""

    prefix_cache_mb: int = Field(default=256, ge=0, le=1_000_000)
    """Maximum size of each shard's cache of computed prompts and queries, in MiB, and four times
    that for those that documents inside the shard wait for; for rerankers that are decoders."""

    vector_cache_mb: int = Field(default=64, ge=0, le=1_000_000)
    """Maximum size of each shard's cache of the vectors of texts, in MiB, for bi-encoders; 0 for
    none. A new query over documents that are in it computes the query alone."""

    score_cache: bool = True
    """Use of the score cache: pairs that were scored before, that are being scored for another
    request, or that a request repeats, are scored once; see `score_cache_mb`."""

    fallback: tuple[Name, ...] = ()
    """Models that answer, by name or alias, when this one cannot: it is down, drained, has too much
    to do, or is late. `input-order` at the end keeps the order of the request, without any model.
    Such replies are marked as degraded."""

    on_deadline: OnDeadline = "fail"
    """Answer to a request whose deadline passes: `fail` with 504, or `partial`: documents that have
    no score by then follow in their order, and the reply is marked as degraded. A request chooses
    with the header X-On-Deadline."""

    load: LoadAt = "start"
    """Time of the first load: `start`, with the gateway, or `first-use`, with the first request
    that needs the model. Until then it is idle: listed, without a process, and not checked."""

    idle_seconds: float = Field(default=0.0, ge=0, le=31_536_000, allow_inf_nan=False)
    """Time without a request after which the model is unloaded, in seconds; 0 for never. The next
    request loads it again, and waits for that. Answers of the score cache alone do not count."""

    memory_mb: int = Field(default=0, ge=0, le=100_000_000)
    """Memory of one shard at the peak of its load, in MiB, for `memory_budget`, until its first
    load has been measured; 0 for an estimate from its files."""

    gpu_memory_mb: int = Field(default=0, ge=0, le=100_000_000)
    """Memory of one shard on its GPU, in MiB, for `memory_budget.gpu_mb`; 0 for an estimate from
    its files. It is not measured."""

    scorer: Literal["auto", "cosine", "maxsim"] = "auto"
    """Computation of a score. `auto` serves rerankers, and refuses embedders. `cosine` serves a
    bi-encoder of sentence-transformers on purpose: query and document are encoded apart, and the
    score is their scaled cosine. `maxsim` does a late-interaction model (ColBERT): the score is
    the sum of the best cosines of the query's tokens. Both rank less well than a reranker, and
    faster."""

    query_prompt: str | None = Field(default=None, max_length=10_000)
    """Text before each query of a bi-encoder, for example `query: `; unset for what its files or
    its name have. `{instruction}` in it is the place of the instruction."""

    document_prompt: str | None = Field(default=None, max_length=10_000)
    """Text before each document of a bi-encoder, for example `passage: `; unset for what its files
    or its name have."""

    template: str = Field(default="auto", min_length=1)
    """Name of the prompt around query and document; `auto` follows the checkpoint."""

    instruction: str = ""
    """Definition of relevance for requests without one, or `@NAME` for one of `instructions`;
    empty for the template's own."""

    canary: Literal["full", "own", "numeric"] = "full"
    """Check that a shard must pass before it serves, and at intervals. `full`: known pairs in
    several languages and those in `canaries` score in the right order. `own`: those in `canaries`
    alone, for a field or language of its own. `numeric`: scores are numbers, for weights that are
    random or experimental on purpose; replies then carry a warning."""

    canaries: tuple[CanarySettings, ...] = Field(default=(), max_length=100)
    """Pairs of your own, `[[models.NAME.canaries]]`."""

    shadow: ShadowSettings | None = None
    """Second model to compare with, `{ model = "qwen3", percent = 5 }`."""

    clean_text: Cleaners = ()
    """Cleaning of queries and documents before they are scored, `"html,zero-width,nfkc"` or a list:
    `html` (text without tags, character references as characters), `zero-width` (no invisible
    characters), `nfkc` (one form of equal characters). Replies report what was cleaned, and have
    documents as they were sent."""

    guard_special_tokens: bool = True
    """Protection that reads special tokens in texts as plain text; without it a document can steer
    its score."""

    def long_document_settings(self) -> LongDocuments:
        """Return the treatment of documents that are too long."""
        pooling = {"max": "1", "mean": "0"}.get(self.passage_pooling, self.passage_pooling)
        return LongDocuments(
            policy=self.long_documents,
            most_passages=self.max_passages,
            passage_tokens=self.passage_tokens,
            passage_overlap=self.passage_overlap,
            pool_best=int(pooling.removeprefix("top")),
        )


def model_name(models: Mapping[str, ModelSettings], wanted: str | None) -> str | None:
    """Return the public name of the model that a name or alias means.

    Args:
        models: the models by public name, at least one.
        wanted: a name or alias; `None` for the first model.

    Returns:
        The public name; `None` if no model has that name or alias.
    """
    if wanted is None:
        return next(iter(models))
    if wanted in models:
        return wanted
    return next((name for name, model in models.items() if wanted in model.aliases), None)
