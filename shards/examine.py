"""What torch finds on this machine, as one line of JSON: `python -m shards.examine`.

For `gateway doctor`, whose process imports no model library. It asks the same functions that a shard
asks when it loads, so what it says `auto` would choose is what a shard would choose.
"""

import json
import sys
from typing import Any

from shards import devices
from shards.native.library import find_kernels
from shards.wire.spec import ShardSpec

HIDDEN, INTERMEDIATE = 1024, 3072
"""The sizes of Qwen3-Reranker-0.6B, for which number formats are compared."""


def examine(device: str) -> dict[str, Any]:
    """Return versions, CUDA devices, and what a model of 0.6B would get on a device."""
    spec = ShardSpec(name="doctor", model="doctor", source="", engine="auto", device=device)
    devices.prepare(spec)
    import torch

    found, warnings = devices.pick_device(spec)
    said: list[str] = []
    dtype = devices.pick_dtype(spec, found, HIDDEN, INTERMEDIATE, said.append)
    kernels = find_kernels()
    return {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "gpus": [_gpu(number) for number in range(torch.cuda.device_count())],
        "device": found,
        "dtype": dtype,
        "why": said,
        "warnings": list(warnings),
        "threads": torch.get_num_threads(),
        "kernels": {"said": kernels.said, "remedy": kernels.remedy},
    }


def _gpu(number: int) -> dict[str, Any]:
    import torch

    about = torch.cuda.get_device_properties(number)
    return {
        "name": about.name,
        "memory_bytes": about.total_memory,
        "capability": f"{about.major}.{about.minor}",
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(examine(sys.argv[1])) + "\n")
