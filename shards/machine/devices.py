"""The device, number format, threads and token budget of a shard, measured rather than guessed.

`prepare` must run before torch and huggingface_hub are imported: both read the environment once.
"""

import logging
import os
import sys
import time
from typing import TYPE_CHECKING

from shards.machine.instructions import WrongLimit, limit_libraries
from shards.machine.process import prefer_memory_of
from shards.refusal import Refusal, Report
from shards.wire.exit_codes import ExitCode
from shards.wire.spec import ShardSpec

if TYPE_CHECKING:
    import torch

_logger = logging.getLogger(__name__)

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "int8": "bfloat16"}

MLX = "mlx"
"""The device that MLX chooses: an Apple GPU, or the CPU where there is none."""

_BF16_GAIN = 1.15  # fp32 is exact: bf16 has to be clearly faster, not by noise
_SMALL_BLOCK = 200_000  # hidden * intermediate; below it most of the time is not arithmetic
_TOKENS_MEASURED = 256
_SPINS = "2000"  # checks for new work by an idle thread before it sleeps
_MOST_FLOP = 1_000_000_000  # of one measured run; 0.1 s on a slow core
# A batch should keep the device busy, and end soon enough for the next request to have its turn.
_TOKEN_BUDGETS = {"cpu": 2048, "mlx": 4096, "mps": 8192, "cuda": 16384}


def prepare(spec: ShardSpec) -> None:
    """Pin this process and set the variables that its libraries read at import.

    `GATEWAY_CPU` limits the instructions of them all, see `shards.machine.instructions`.

    Threads spin a little before they sleep: waking one takes longer than most steps of a small
    batch. But shards that share cores must not spin against each other.
    """
    try:
        limit_libraries(os.environ)
    except WrongLimit as error:
        raise Refusal(str(error), ExitCode.SPEC) from error
    if spec.cores and hasattr(os, "sched_setaffinity"):
        _pin(spec)
    if spec.memory_nodes and (problem := prefer_memory_of(spec.memory_nodes)):
        _logger.warning("memory may lie far from the cores: %s", problem)
    threads = spec.threads or len(spec.cores)
    if threads:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
            os.environ[name] = str(threads)
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # the order in which placement counts
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("KMP_BLOCKTIME", "0")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false" if threads == 1 else "true")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if spec.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"


def _pin(spec: ShardSpec) -> None:
    try:
        os.sched_setaffinity(0, spec.cores)
    except OSError as error:
        allowed = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
        asked = ", ".join(map(str, spec.cores))
        raise Refusal(
            f"cannot pin to cores {asked} ({error}); this process may use {allowed}", ExitCode.SPEC
        ) from error


def pick_device(spec: ShardSpec) -> tuple[str, tuple[str, ...]]:
    """Return the device to use, and warnings if it is not the requested one.

    Raises:
        Refusal: the device is required and absent, or of an unknown kind.
    """
    absent = _absence(spec.device)
    if absent is None:
        return spec.device, ()
    if spec.device_required:
        raise Refusal(f"{absent}; choose a device that is there, or cpu", ExitCode.SPEC)
    return "cpu", (f"{absent}; the CPU is used instead",)


def _absence(device: str) -> str | None:
    """Return the reason why a device cannot be used; `None` if it can."""
    import torch

    kind, _, number = device.partition(":")
    if device == "cpu":
        return None
    if device == MLX:
        return "device mlx is for the engine mlx, which computes Qwen3 decoders"
    if device == "mps":
        return None if torch.backends.mps.is_available() else "device mps is absent"
    if kind != "cuda" or not number.isdecimal():
        return f"device {device!r} is not one of cpu, cuda:N, mlx, mps"
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return None if int(number) < count else f"device {device} is absent ({count} CUDA devices)"


def pick_dtype(
    spec: ShardSpec, device: str, hidden_size: int, intermediate_size: int, report: Report
) -> str:
    """Return the number format: the spec's, or for `auto` the best the device has.

    Raises:
        Refusal: fp16 on a CPU, or an unknown format.
    """
    if spec.dtype != "auto" and spec.dtype not in DTYPES:
        raise Refusal(
            f"dtype {spec.dtype!r} is not one of auto, {', '.join(DTYPES)}", ExitCode.SPEC
        )
    if spec.dtype == "fp16" and device == "cpu":
        raise Refusal(
            "fp16 on a CPU has no fast instructions (measured 4 times slower than fp32, 19 times "
            "slower than bf16): use auto, bf16 or fp32",
            ExitCode.SPEC,
        )
    if spec.dtype == "int8" and device != "cpu":
        raise Refusal(f"int8 is for CPUs: use auto or bf16 on {device}", ExitCode.SPEC)
    if spec.dtype != "auto":
        return spec.dtype
    if device == "cpu":
        return _faster_on_cpu(hidden_size, intermediate_size, report)
    chosen, why = _best_on_accelerator(device)
    report(f"dtype {chosen}: {why}")
    return chosen


def _best_on_accelerator(device: str) -> tuple[str, str]:
    """Return the number format for a GPU and the reason for it."""
    if device == MLX:
        return _best_of_mlx()
    import torch

    if device == "mps":
        if _mps_has_bf16():
            return "bf16", "this GPU computes it faster than fp32, and it has fp32's range"
        return "fp32", "this GPU has no bf16"
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16", "this GPU computes it as fast as fp16, and it has fp32's range"
    return "fp16", "this GPU has no bf16 of its own; numbers beyond 65,504 become infinite"


def _best_of_mlx() -> tuple[str, str]:
    import mlx.core

    if mlx.core.metal.is_available():
        return "bf16", "it has fp32's range, and half of its size"
    return "fp32", "MLX computes on the CPU here, and fp32 is exact"


def _mps_has_bf16() -> bool:
    import torch

    try:
        torch.ones(1, dtype=torch.bfloat16, device="mps").add_(1)
    except (RuntimeError, TypeError):
        return False
    return True


def _faster_on_cpu(hidden_size: int, intermediate_size: int, report: Report) -> str:
    import torch

    if hidden_size * intermediate_size < _SMALL_BLOCK:
        report("dtype fp32: this model is too small to gain from bf16")
        return "fp32"
    seconds = {
        name: _measure(getattr(torch, DTYPES[name]), hidden_size, intermediate_size)
        for name in ("fp32", "bf16")
    }
    gain = seconds["fp32"] / seconds["bf16"]
    chosen = "bf16" if gain >= _BF16_GAIN else "fp32"
    report(f"dtype {chosen}: bf16 measured {gain:.1f} times as fast as fp32 at this model's size")
    return chosen


def _measure(dtype: "torch.dtype", hidden_size: int, intermediate_size: int) -> float:
    """Return the seconds of one feed-forward block, norm included: the best of three runs."""
    import torch
    from torch.nn import functional

    tokens = max(8, min(_TOKENS_MEASURED, _MOST_FLOP // (4 * hidden_size * intermediate_size)))
    states = torch.ones(tokens, hidden_size, dtype=dtype)
    up = torch.ones(intermediate_size, hidden_size, dtype=dtype)
    down = torch.ones(hidden_size, intermediate_size, dtype=dtype)
    best = float("inf")
    with torch.inference_mode():
        for _ in range(4):  # the first one warms up
            started = time.perf_counter()
            normed = functional.layer_norm(states, (hidden_size,))
            functional.linear(functional.gelu(functional.linear(normed, up)), down).add_(states)
            best = min(best, time.perf_counter() - started)
    return best


def moved(tensor: "torch.Tensor", device: str) -> "torch.Tensor":
    """Move a CPU tensor to a device; a GPU copies it from pinned memory, without a wait.

    A copy from other memory waits for all work queued on the GPU, so that nothing can be prepared
    meanwhile. PyTorch holds pinned memory until the copy is done, then reuses it for the next one.
    """
    if device.startswith("cuda"):
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def pick_token_budget(spec: ShardSpec, device: str) -> int:
    """Return the most tokens of one batch. A single longer pair makes a batch of its own."""
    return spec.token_budget or _TOKEN_BUDGETS[device.partition(":")[0]]


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an engine raised because its batch was too large for the free memory."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def free_memory() -> None:
    """Return cached device memory to the device, after it ran out."""
    torch = sys.modules.get("torch")  # an engine without torch has no cache to return
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    if (core := sys.modules.get("mlx.core")) is not None:
        core.clear_cache()
