"""Everything a shard needs to know to start; made by the gateway, read once by the shard."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCanary:
    """A pair that the operator knows: its right document must beat the wrong one.

    Attributes:
        query, right: the query, and the document that answers it.
        wrong: a document that does not; `None` for none.
        right_score, wrong_score: the relevance scores that they must have; `None` for any.
        tolerance: how far a score may lie from that.
    """

    query: str
    right: str
    wrong: str | None = None
    right_score: float | None = None
    wrong_score: float | None = None
    tolerance: float = 0.02


@dataclass(frozen=True, slots=True)
class Remembered:
    """The margins of canaries as an earlier life had them.

    Attributes:
        fingerprint: of the weights, the prompt and the pairs.
        dtype: the number format they were computed in.
        margins: by pair.
    """

    fingerprint: str
    dtype: str
    margins: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSpec:
    """One shard: which model, on which device, in which number format.

    Attributes:
        name: `MODEL/DEVICE` or `MODEL/DEVICE#N`, the same for ever.
        model: the public model name that routes to this shard.
        source: a folder, or a repository id on the hub (`Qwen/Qwen3-Reranker-0.6B`).
        revision: a branch, tag or commit on the hub; empty for the default branch.
        generation: how many times this shard has been started, counting from 1.
        engine: a name of `shards.engines.ENGINES`, or `auto`.
        onnx_file: which graph of the folder the engine `onnx` takes; empty for the plain one.
        device: `cpu`, `cuda:N` or `mps`.
        device_required: whether a missing device is an error; if not, the shard says so and uses
            the CPU.
        dtype: `auto`, `fp32`, `bf16`, `fp16` or `int8`.
        cores: the CPU cores this shard is pinned to; empty for no pinning.
        memory_nodes: where its memory should lie; empty for wherever the kernel likes.
        threads: compute threads; 0 for as many as `cores`.
        max_length: the most tokens of one pair; 0 for the checkpoint's own limit.
        token_budget: the most tokens of one batch, padding included; 0 for the engine's choice.
        first_token_budget: the most tokens of the first batches, raised from there to the token budget;
            0 for the whole one at once.
        int8_anyway: whether int8 serves even where its scores do not agree with bf16's.
        prefix_cache_mb: the most memory, in MiB, for prefixes that were computed before; those that are
            awaited have four times that.
        template: a name of `shards.encoder.TEMPLATES`, or `auto`.
        instruction: the default instruction; empty for the template's own.
        guard_special_tokens: whether special tokens inside user text are scored as plain text.
        offline: whether the hub must not be asked.
        canary: what it must prove before it serves: `full`, `own` or `numeric`.
        canaries: the operator's own pairs.
        canary_seconds: after how long without work some of the pairs are scored again.
        canary_batches: after how many batches.
        remembered: what the same pairs scored in an earlier life; `None` in the first.
    """

    name: str
    model: str
    source: str
    revision: str = ""
    generation: int = 1
    engine: str = "auto"
    onnx_file: str = ""
    device: str = "cpu"
    device_required: bool = True
    dtype: str = "auto"
    cores: tuple[int, ...] = ()
    memory_nodes: tuple[int, ...] = ()
    threads: int = 0
    max_length: int = 0
    token_budget: int = 0
    first_token_budget: int = 0
    int8_anyway: bool = False
    prefix_cache_mb: int = 256
    template: str = "auto"
    instruction: str = ""
    guard_special_tokens: bool = True
    offline: bool = False
    canary: str = "full"
    canaries: tuple[OwnCanary, ...] = ()
    canary_seconds: float = 60.0
    canary_batches: int = 1000
    remembered: Remembered | None = None
