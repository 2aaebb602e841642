"""Numbers that a device is still computing, without waiting for what it is given after them."""

from collections.abc import Callable
from typing import Any

import torch


def runs_by_itself(device: str) -> bool:
    """Whether a device computes while Python goes on."""
    return device.startswith("cuda")


def later(numbers: torch.Tensor) -> Callable[[], list[float]]:
    """Return what waits for numbers, `[count]`, and gives them.

    To read a tensor of a GPU waits for all that the GPU was told to do, also later; so the numbers go to
    pinned memory as soon as they are there, and an event says when.
    """
    if not runs_by_itself(str(numbers.device)):
        return numbers.tolist
    landed = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
    landed.copy_(numbers, non_blocking=True)
    is_done: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
    is_done.record(torch.cuda.current_stream(numbers.device))

    def wait() -> list[float]:
        is_done.synchronize()
        found: list[float] = landed.tolist()
        return found

    return wait
