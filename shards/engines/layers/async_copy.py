"""Copies of numbers that a device is still computing, without a wait for its later work."""

from collections.abc import Callable
from typing import Any

import torch


def is_asynchronous(device: str) -> bool:
    """Return whether a device computes while Python goes on."""
    return device.startswith("cuda")


def read_later(numbers: torch.Tensor) -> Callable[[], list[float]]:
    """Return a function that waits for numbers, `[count]`, and returns them.

    Reading a tensor of a GPU waits for all work queued on the GPU, also for later work. So the
    numbers are copied to pinned memory as soon as they are computed, and an event marks the copy.
    """
    if not is_asynchronous(str(numbers.device)):
        return numbers.tolist
    landed = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
    landed.copy_(numbers, non_blocking=True)
    is_done: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]  # untyped in torch
    is_done.record(torch.cuda.current_stream(numbers.device))

    def wait() -> list[float]:
        is_done.synchronize()
        found: list[float] = landed.tolist()
        return found

    return wait
