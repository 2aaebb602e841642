"""The devices and formats of this machine as one line of JSON: `python -m shards.tools.examine`.

For `gateway doctor`, whose process imports no model library. It calls the functions that a shard
calls when it loads, so its choices for `auto` are those of a shard.
"""

import json
import sys
from typing import Any

from shards.machine import devices
from shards.native.library import find_kernels
from shards.wire.spec import ShardSpec

HIDDEN, INTERMEDIATE = 1024, 3072
"""The sizes of Qwen3-Reranker-0.6B, for the comparison of number formats."""


def examine(device: str) -> dict[str, Any]:
    """Return versions, CUDA devices, and the choices for a model of 0.6B on a device."""
    spec = ShardSpec(name="doctor", model="doctor", source="", engine="auto", device=device)
    devices.prepare(spec)
    import torch

    found, warnings = devices.pick_device(spec)
    reasons: list[str] = []
    dtype = devices.pick_dtype(spec, found, HIDDEN, INTERMEDIATE, reasons.append)
    kernels = find_kernels()
    return {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "gpus": [_gpu(number) for number in range(torch.cuda.device_count())],
        "device": found,
        "dtype": dtype,
        "why": reasons,
        "warnings": list(warnings),
        "threads": torch.get_num_threads(),
        "kernels": {"summary": kernels.summary, "remedy": kernels.remedy},
    }


def _gpu(number: int) -> dict[str, Any]:
    import torch

    device = torch.cuda.get_device_properties(number)
    return {
        "name": device.name,
        "memory_bytes": device.total_memory,
        "capability": f"{device.major}.{device.minor}",
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(examine(sys.argv[1])) + "\n")
