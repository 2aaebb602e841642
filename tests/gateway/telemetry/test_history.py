"""The history of requests: steps, gaps, names and bounded memory; the time is passed in."""

import gc
import math
import tracemalloc

import pytest

from gateway.telemetry.history import MOST_NAMES, RANGES, History
from gateway.telemetry.history_figures import HistoryFigures

HOUR, DAY = 3600.0, 86_400.0


def add(history: History, now: float, code: int = 200, name: str = "m", ms: float = 100) -> None:
    history.add(name, code, documents=2, tokens=30, seconds=ms / 1000, now=now)


def hour(history: History, now: float, name: str | None = None) -> HistoryFigures:
    return history.figures("hour", name=name, now=now, unix=1_000_000 + now)


def day(history: History, now: float) -> HistoryFigures:
    return history.figures("day", name=None, now=now, unix=1_000_000 + now)


def test_the_open_step_is_shown_from_the_first_moment() -> None:
    history = History(0.0)
    found = hour(history, 0.0)
    assert (found.first_time, found.step_seconds, found.last_seconds) == (1_000_000, 10, 0)
    assert (found.requests, found.p95_ms, found.waiting, found.codes) == ([0], [None], [None], {})
    add(history, 2.5)
    found = hour(history, 4.0)
    assert (found.requests, found.documents, found.tokens) == ([1], [2], [30])
    assert found.last_seconds == 4.0


def test_requests_count_in_the_step_of_their_end_by_status() -> None:
    history = History(0.0)
    for now, code in ((1, 200), (9.9, 503), (10, 200), (29, 404)):
        add(history, now, code)
    found = hour(history, 31)
    assert found.requests == [2, 1, 1, 0]
    assert found.failures == [1, 0, 1, 0]
    assert found.codes == {"200": [1, 1, 0, 0], "404": [0, 0, 1, 0], "503": [1, 0, 0, 0]}


def test_percentiles_are_of_successes_and_end_with_them() -> None:
    history = History(0.0)
    for place in range(1, 101):
        add(history, 1.0, ms=10 * place)
    add(history, 1.0, 504, ms=60_000)
    history.look({"m": (0, 0)}, 11.0)
    found = hour(history, 21.0)
    assert found.p50_ms[0] == pytest.approx(500, rel=0.025)
    assert found.p95_ms[0] == pytest.approx(950, rel=0.025)
    assert (found.p50_ms[1:], found.p95_ms[1:]) == ([None, None], [None, None])


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 0.0005, 1.0, 90.0, 1e9])
def test_any_time_has_a_place(seconds: float) -> None:
    history = History(0.0)
    history.add("m", 200, documents=0, tokens=0, seconds=seconds, now=0.0)
    shown = min(max(seconds, 1e-5), 1e5)
    assert hour(history, 0.0).p50_ms[0] == pytest.approx(1000 * shown, rel=0.05)


def test_jobs_are_the_most_of_a_step() -> None:
    history = History(0.0)
    for now, waiting in enumerate((1, 7, 3)):
        history.look({"m": (waiting, 2), "n": (1, 0)}, float(now))
    history.look({"m": (0, 0), "n": (0, 0)}, 10.0)
    found = hour(history, 10.0)
    assert (found.waiting, found.active) == ([8, 0], [2, 0])
    assert hour(history, 10.0, "m").waiting == [7, 0]


def test_a_suspended_gateway_leaves_a_gap_in_the_figures() -> None:
    history = History(0.0)
    add(history, 5.0)
    add(history, 45.0)
    found = hour(history, 45.0)
    assert found.requests == found.codes["200"] == [1, None, None, None, 1]
    assert found.documents == [2, None, None, None, 2]
    assert found.failures == [0, None, None, None, 0]


def test_a_gap_has_no_figures_of_the_hour_before() -> None:
    history = History(0.0)
    for second in range(0, 3700, 10):
        add(history, second)
    add(history, 4000.0)
    found = hour(history, 4000.0)
    assert found.requests[-30:] == found.codes["200"][-30:] == [*[None] * 29, 1]
    add(history, 4000.0 + 2 * HOUR)  # longer than the ring
    add(history, 4010.0 + 2 * HOUR)
    assert hour(history, 4010.0 + 2 * HOUR).requests == [*[None] * 358, 1, 1]


def test_a_step_of_many_requests_takes_no_more_memory() -> None:
    history = History(0.0)
    add(history, 0.0)
    tracemalloc.start()
    try:
        for place in range(20_000):
            add(history, 1.0, ms=1 + place / 7)
        grown = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert grown < 100_000


def test_minutes_add_up_their_steps_and_the_open_one() -> None:
    history = History(0.0)
    for second in range(0, 150, 5):
        add(history, second, 200 if second % 10 else 503)
        history.look({"m": (second, 1)}, second)
    found = day(history, 149.0)
    assert found.requests == [12, 12, 6]
    assert found.failures == [6, 6, 3]
    assert found.waiting == [55, 115, 145]
    assert found.p95_ms[0] == pytest.approx(100, rel=0.025)
    assert (found.step_seconds, found.last_seconds) == (60, 29)


def test_each_name_has_its_history_from_its_first_request_on() -> None:
    history = History(0.0)
    add(history, 1.0, name="m")
    add(history, 11.0, name="n")
    assert history.names == ("m", "n")
    assert hour(history, 21.0, "m").requests == [1, 0, 0]
    assert hour(history, 21.0, "n").requests == [None, 1, 0]
    assert hour(history, 21.0).requests == [1, 1, 0]


def test_the_names_are_bounded_and_those_of_the_day_before_make_room() -> None:
    history = History(0.0)
    for place in range(MOST_NAMES + 5):
        add(history, place, name=f"m{place}")
    assert history.names == tuple(f"m{place}" for place in range(MOST_NAMES))
    assert sum(count or 0 for count in hour(history, 50.0).requests) == MOST_NAMES + 5
    add(history, DAY, name="new")
    assert "new" in history.names
    assert "m0" not in history.names
    assert len(history.names) == MOST_NAMES


@pytest.mark.parametrize("name", RANGES)
def test_a_range_has_its_length_and_then_the_oldest_step_goes(name: str) -> None:
    history, kept = History(0.0), RANGES[name]
    steps = kept.steps + 3
    for place in range(steps):
        add(history, place * kept.step_seconds, code=200 + place % 2)
    now = steps * kept.step_seconds - 1.0
    found = history.figures(name, name="m", now=now, unix=now)
    assert len(found.requests) == len(found.p95_ms) == len(found.codes["200"]) == kept.steps
    assert set(found.requests) == {1}
    assert found.first_time == 3 * kept.step_seconds


def load(history: History, start: float, end: float, every: float) -> None:
    """Send requests of all kinds for so long; the time is passed in."""
    for place in range(int((end - start) / every)):
        now = start + place * every
        code = (200, 200, 200, 503, 429, 400)[place % 6]
        add(history, now, code, name=f"m{place % 3}", ms=10 + math.sin(place) ** 2 * place)
        history.look({f"m{each}": (place % 50, 2) for each in range(3)}, now)


@pytest.mark.parametrize(("length", "every"), [(HOUR, 0.5), (DAY, 20.0)], ids=("hour", "day"))
def test_the_memory_does_not_grow_with_the_load(length: float, every: float) -> None:
    tracemalloc.start()
    try:
        history = History(0.0)
        load(history, 0.0, length, every)
        gc.collect()
        first = tracemalloc.get_traced_memory()[0]
        load(history, length, 2 * length, every)
        gc.collect()
        second = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert first < 4 * 250_000  # three models, and all requests
    assert second - first < 20_000
    assert len(hour(history, 2 * length).requests) == 360
