"""The specification of a shard; made by the gateway, read once by the shard at its start."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCanary:
    """A pair of the operator's own: its right document must beat the wrong one.

    Attributes:
        query, right: the query, and the document that answers it.
        wrong: a document that does not; `None` for none.
        right_score, wrong_score: their required relevance scores; `None` for any.
        tolerance: the largest difference of a score from that.
    """

    query: str
    right: str
    wrong: str | None = None
    right_score: float | None = None
    wrong_score: float | None = None
    tolerance: float = 0.02


@dataclass(frozen=True, slots=True)
class Remembered:
    """The margins of canaries in an earlier process of the shard.

    Attributes:
        fingerprint: a hash of the weights, the prompt and the pairs.
        dtype: the number format of the computation.
        margins: by pair.
    """

    fingerprint: str
    dtype: str
    margins: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSpec:
    """One shard: which model, on which device, in which number format.

    Attributes:
        name: `MODEL/DEVICE` or `MODEL/DEVICE#N`, the same over all restarts.
        model: the public model name that routes to this shard.
        source: a folder, or a repository id on the hub (`Qwen/Qwen3-Reranker-0.6B`).
        revision: a branch, tag or commit on the hub; empty for the default branch.
        generation: the number of starts of this shard, this one included.
        engine: a name of `shards.engines.ENGINES`, or `auto`.
        onnx_file: the graph of the folder for the engine `onnx`; empty for the plain one.
        device: `cpu`, `cuda:N`, `mlx` or `mps`.
        device_required: whether a missing device is an error; if not, the shard reports it and
            uses the CPU.
        dtype: `auto`, `fp32`, `bf16`, `fp16` or `int8`.
        cores: the CPU cores this shard is pinned to; empty for no pinning.
        memory_nodes: the preferred memory nodes; empty for the kernel's choice.
        threads: compute threads; 0 for as many as `cores`.
        max_length: the most tokens of one pair; 0 for the checkpoint's own limit.
        token_budget: the most tokens of one batch, padding included; 0 for the engine's choice.
        first_token_budget: the most tokens of the first batches, raised from there to the token
            budget; 0 for the whole budget at once.
        int8_anyway: whether int8 serves even where its scores do not agree with bf16's.
        prefix_cache_mb: the most memory, in MiB, for prefixes that were computed before; awaited
            prefixes have four times that.
        vector_cache_mb: the most memory, in MiB, for the vectors of a bi-encoder's texts.
        scorer: `auto` for what the checkpoint is, `cosine` to serve a bi-encoder, or `maxsim`
            for late interaction.
        query_prompt, document_prompt: what stands before the texts of a bi-encoder; `None` for
            what its files or its name have.
        template: a name of `shards.prompts.TEMPLATES`, or `auto`.
        instruction: the default instruction; empty for the template's own.
        guard_special_tokens: whether special tokens inside user text are scored as plain text.
        offline: whether downloads from the hub are forbidden.
        canary: the check before it serves: `full`, `own` or `numeric`.
        canaries: the operator's own pairs.
        canary_seconds: the time without work after which some of the pairs are scored again.
        canary_batches: the number of batches after which they are.
        remembered: the margins of the same pairs in an earlier process; `None` in the first.
        whole_files: whether the facts have a hash of every byte of the files, as scores are kept
            that outlive this process.
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
    vector_cache_mb: int = 64
    scorer: str = "auto"
    query_prompt: str | None = None
    document_prompt: str | None = None
    template: str = "auto"
    instruction: str = ""
    guard_special_tokens: bool = True
    offline: bool = False
    canary: str = "full"
    canaries: tuple[OwnCanary, ...] = ()
    canary_seconds: float = 60.0
    canary_batches: int = 1000
    remembered: Remembered | None = None
    whole_files: bool = False
