"""Everything a shard needs to know to start; made by the gateway, read once by the shard."""

from dataclasses import dataclass


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
        device: `cpu`, `cuda:N` or `mps`.
        device_required: whether a missing device is an error; if not, the shard says so and uses
            the CPU.
        dtype: `auto`, `fp32`, `bf16`, `fp16` or `int8`.
        cores: the CPU cores this shard is pinned to; empty for no pinning.
        threads: compute threads; 0 for as many as `cores`.
        max_length: the most tokens of one pair; 0 for the checkpoint's own limit.
        token_budget: the most tokens of one batch, padding included; 0 for the engine's choice.
        first_token_budget: the most tokens of the first batches, raised from there to the token budget;
            0 for the whole one at once.
        int8_anyway: whether int8 serves even where its scores do not agree with bf16's.
        prefix_cache_mb: the most memory, in MiB, for prefixes that were computed before.
        template: a name of `shards.encoder.TEMPLATES`, or `auto`.
        instruction: the default instruction; empty for the template's own.
        guard_special_tokens: whether special tokens inside user text are scored as plain text.
        offline: whether the hub must not be asked.
    """

    name: str
    model: str
    source: str
    revision: str = ""
    generation: int = 1
    engine: str = "auto"
    device: str = "cpu"
    device_required: bool = True
    dtype: str = "auto"
    cores: tuple[int, ...] = ()
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
