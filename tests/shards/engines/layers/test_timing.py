"""Times count what one core computes, and nothing that it waits for."""

import threading

import pytest
import torch

from shards.engines.layers.timing import core_seconds, one_thread


def test_waiting_does_not_count() -> None:
    def wait() -> None:
        threading.Event().wait(0.2)

    def compute() -> None:
        product = torch.ones(256, 256)
        for _ in range(50):
            product = product @ product

    with one_thread():
        assert core_seconds(compute) > core_seconds(wait)


def test_the_number_of_threads_is_put_back() -> None:
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="on purpose"), one_thread():
        assert torch.get_num_threads() == 1
        raise RuntimeError("on purpose")
    assert torch.get_num_threads() == before
