"""Counts and percentiles of requests by model; time is passed in."""

from dataclasses import replace

from gateway.telemetry.request_figures import Figures, Percentiles
from gateway.telemetry.request_log import MOST, WINDOW_SECONDS, RequestLog, percentiles
from tests.gateway.telemetry.test_metrics import MODEL, SHARD

READY = replace(SHARD, queue=3, slots=2, free_slots=1)
SERVED = replace(MODEL, queue=5, shards=(READY, replace(READY, free_slots=2)))


def figures(log: RequestLog, now: float = 0.0) -> Figures:
    return log.figures([SERVED], version="1", uptime_seconds=now, cached_scores=7, now=now)


def add(log: RequestLog, name: str, code: int, seconds: float, now: float = 0.0) -> None:
    log.add(name, code, wait=seconds / 10, work=seconds / 2, total=seconds, now=now)


def test_a_model_without_requests_has_figures() -> None:
    found = figures(RequestLog())
    (model,) = found.models
    assert (model.name, model.requests, model.codes, model.recent) == ("m", 0, {}, 0)
    assert model.total_ms == Percentiles()
    assert (model.waiting, model.active, model.slots, model.free_slots) == (5, 6, 4, 3)
    assert found.cached_scores == 7


def test_successes_and_failures_are_counted_and_summed() -> None:
    log = RequestLog()
    for code in (200, 200, 400, 503, 499):
        add(log, "m", code, 1.0)
    add(log, "unknown", 404, 1.0)
    found = figures(log)
    model, unknown = found.models
    assert (model.requests, model.successes, model.failures) == (5, 2, 3)
    assert model.codes == {"200": 2, "400": 1, "499": 1, "503": 1}
    assert (unknown.name, unknown.failures, unknown.slots) == ("unknown", 1, 0)
    assert (found.requests, found.successes, found.failures) == (6, 2, 4)
    assert (found.waiting, found.active, found.free_slots) == (5, 6, 3)


def test_percentiles_are_those_of_successes() -> None:
    log = RequestLog()
    for place in range(1, 101):
        add(log, "m", 200, place / 1000)
    add(log, "m", 504, 30.0)
    (model,) = figures(log).models
    assert model.recent == 100
    assert model.total_ms == Percentiles(p50=50.0, p95=95.0, p99=99.0)
    assert model.wait_ms == Percentiles(p50=5.0, p95=9.5, p99=9.9)
    assert model.work_ms == Percentiles(p50=25.0, p95=47.5, p99=49.5)


def test_percentiles_are_times_of_requests() -> None:
    assert percentiles([0.001]) == Percentiles(p50=1.0, p95=1.0, p99=1.0)
    assert percentiles([0.002, 0.001]) == Percentiles(p50=1.0, p95=2.0, p99=2.0)


def test_times_vanish_when_nothing_comes_and_counts_stay() -> None:
    log = RequestLog()
    add(log, "m", 200, 1.0, now=0.0)
    add(log, "m", 200, 2.0, now=100.0)
    assert figures(log, WINDOW_SECONDS).models[0].total_ms.p50 == 2000.0
    later = figures(log, 100.0 + WINDOW_SECONDS).models[0]
    assert (later.recent, later.total_ms, later.requests) == (0, Percentiles(), 2)


def test_the_times_that_are_kept_are_bounded() -> None:
    log = RequestLog()
    for _ in range(MOST + 10):
        add(log, "m", 200, 1.0)
    (model,) = figures(log).models
    assert (model.recent, model.requests) == (MOST, MOST + 10)
