"""A worker does its work in order, in its own thread, and hands errors to the caller."""

import threading

import pytest

from gateway.serving.score_cache.stores.worker import Worker


def test_work_is_done_in_order_in_one_thread() -> None:
    worker, done = Worker("test worker"), list[str]()
    worker.submit(lambda: done.append(f"a {threading.current_thread().name}"))
    worker.submit(lambda: done.append(f"b {threading.current_thread().name}"))
    assert worker.submit(lambda: len(done)).result(10) == 2
    assert done == ["a test worker", "b test worker"]
    with pytest.raises(ZeroDivisionError):
        worker.submit(lambda: 1 / 0).result(10)
    assert worker.submit(lambda: "on").result(10) == "on"
    worker.stop()
