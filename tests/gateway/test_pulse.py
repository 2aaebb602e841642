"""Slow is not hung, idle is not hung, and what does not move for too long is."""

import pytest

from gateway.pulse import Pulse, PulseWatch, Reading
from shards.wire.arena import Progress

_SECOND = 1_000_000_000


def _at(
    now: float,
    *,
    started: int = 0,
    done: int = 0,
    encoded: int = 0,
    expected_seconds: float = 0,
    waiting_bytes: int = 1,
) -> Reading:
    expected_ns = int(expected_seconds * _SECOND)
    return Reading(Progress(started, done, 0, expected_ns, encoded, 0, ()), waiting_bytes, now)


def test_a_batch_that_does_not_end_is_found_after_two_seconds() -> None:
    watch = PulseWatch()
    seen = [watch.look(_at(now, started=1)) for now in (10.0, 10.9, 11.0, 11.9, 12.0)]
    assert seen == [Pulse.MOVING, Pulse.MOVING, Pulse.STALLED, Pulse.STALLED, Pulse.HUNG]
    assert watch.still_seconds == 2.0


def test_a_long_batch_may_take_four_times_what_it_should() -> None:
    watch = PulseWatch()
    times = (0.0, 19.0, 21.0, 39.0, 40.0)
    seen = [watch.look(_at(now, started=1, expected_seconds=10)) for now in times]
    assert seen == [Pulse.MOVING, Pulse.MOVING, Pulse.STALLED, Pulse.STALLED, Pulse.HUNG]


def test_no_expectation_makes_a_hang_invisible() -> None:
    watch = PulseWatch()
    watch.look(_at(0.0, started=1, expected_seconds=1e9))
    assert watch.look(_at(600.0, started=1, expected_seconds=1e9)) is Pulse.HUNG


@pytest.mark.parametrize("step", ["started", "done", "encoded"])
def test_any_step_is_a_sign_of_life(step: str) -> None:
    watch = PulseWatch()
    for tick in range(100):
        reading = _at(float(tick), **{step: tick})
        assert watch.look(reading) is Pulse.MOVING


def test_an_idle_shard_is_left_alone_and_its_rest_does_not_count() -> None:
    watch = PulseWatch()
    for now in (0.0, 1000.0):
        assert watch.look(_at(now, waiting_bytes=0)) is Pulse.MOVING
    assert watch.look(_at(1000.1)) is Pulse.MOVING
    assert watch.look(_at(1002.1)) is Pulse.HUNG


def test_large_texts_may_take_long_to_encode() -> None:
    watch = PulseWatch()
    watch.look(_at(0.0, waiting_bytes=2_000_000))
    assert watch.look(_at(7.9, waiting_bytes=2_000_000)) is Pulse.MOVING
    assert watch.look(_at(16.0, waiting_bytes=2_000_000)) is Pulse.HUNG


def test_time_in_which_nobody_looked_does_not_count() -> None:
    watch = PulseWatch()
    watch.look(_at(0.0, started=1))
    assert watch.look(_at(1.5, started=1)) is Pulse.STALLED
    watch.excuse(1000.0)
    assert watch.look(_at(1001.6, started=1)) is Pulse.STALLED
    assert watch.look(_at(1002.1, started=1)) is Pulse.HUNG
