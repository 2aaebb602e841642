"""Times of short computations on one core, which other programs on the machine hardly change."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread: several wait for each other where other programs use their cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def core_seconds(compute: Callable[[], object]) -> float:
    """Return the seconds that this thread's core computes; other programs there do not count."""
    started = time.thread_time()
    compute()
    return time.thread_time() - started
