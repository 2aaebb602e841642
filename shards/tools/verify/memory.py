"""The memory that another copy of a checkpoint takes in fp32."""

from shards.checkpoint import Checkpoint


def needed_bytes(checkpoint: Checkpoint) -> int:
    """Return the bytes that the weights take in fp32; most checkpoints store half as many."""
    stored = sum(path.stat().st_size for path in set(checkpoint.tensors.values()))
    stored_as = str(checkpoint.config.get("dtype") or checkpoint.config.get("torch_dtype") or "")
    return stored if stored_as == "float32" else 2 * stored
