"""Whether another copy of a checkpoint, in fp32, fits into the memory of this machine."""

import os
from pathlib import Path

from shards.checkpoint import Checkpoint


def needed_bytes(checkpoint: Checkpoint) -> int:
    """Return what the weights take in fp32, in bytes; halves are what most checkpoints store."""
    stored = sum(path.stat().st_size for path in set(checkpoint.tensors.values()))
    stored_as = str(checkpoint.config.get("dtype") or checkpoint.config.get("torch_dtype") or "")
    return stored if stored_as == "float32" else 2 * stored


def free_bytes() -> int:
    """Return the memory that can be had, in bytes; 0 where it cannot be told."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    kib = next((line.split()[1] for line in lines if line.startswith("MemAvailable")), "0")
    return 1024 * int(kib)
