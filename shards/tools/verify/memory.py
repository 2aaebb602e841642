"""The memory that another copy of a checkpoint takes in fp32."""

from math import prod

from shards.checkpoint import Checkpoint, stored_shapes


def needed_bytes(checkpoint: Checkpoint) -> int:
    """Return the bytes that the weights take in fp32; most checkpoints store half as many."""
    if checkpoint.notes:
        return 4 * sum(prod(shape) for shape in stored_shapes(checkpoint).values())
    stored = sum(path.stat().st_size for path in checkpoint.files)
    stored_as = str(checkpoint.config.get("dtype") or checkpoint.config.get("torch_dtype") or "")
    return stored if stored_as == "float32" else 2 * stored
