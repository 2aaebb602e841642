"""The load of a checkpoint for MLX: so far Qwen3-Reranker and other plain Qwen3 decoders."""

from shards.engines.base import Engine
from shards.engines.mlx.runtime import backend_note, expect_mlx
from shards.refusal import Report
from shards.wire.spec import ShardSpec


def load(spec: ShardSpec, report: Report) -> Engine:
    """Load a decoder; see `shards.engines.base.Load`."""
    note = backend_note(expect_mlx(spec))
    report(note)
    from shards.engines.mlx.decoder import load_decoder  # imports MLX

    return load_decoder(spec, note, report)
