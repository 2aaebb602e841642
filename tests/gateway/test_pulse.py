"""Slow is not hung, idle is not hung, and what does not move for too long is."""

from collections.abc import Iterator

import pytest

from gateway.pulse import Pulse, PulseWatch, Reading
from shards.wire.arena import Progress

_SECOND = 1_000_000_000
_TICK = 0.1


def _at(
    now: float,
    *,
    started: int = 0,
    done: int = 0,
    encoded: int = 0,
    long_encoded: int = 0,
    encoding: tuple[int, int] = (0, 0),
    expected_seconds: float = 0,
    waiting_bytes: int = 1,
    is_solo: bool = False,
) -> Reading:
    expected_ns = int(expected_seconds * _SECOND)
    progress = Progress(started, done, 0, expected_ns, (encoded, long_encoded), encoding, ())
    return Reading(progress, waiting_bytes, is_solo, now)


def _times(seconds: float) -> Iterator[float]:
    return (tick * _TICK for tick in range(round(seconds / _TICK) + 1))


def _first(watch: PulseWatch, pulse: Pulse, seconds: float, **reading: float) -> float | None:
    """Return when a shard that does not move is first found to be so."""
    seen = ((now, watch.look(_at(now, **reading))) for now in _times(seconds))  # type: ignore[arg-type]
    return next((now for now, found in seen if found is pulse), None)


@pytest.mark.parametrize(
    ("expected_seconds", "is_solo", "stalled", "hung"),
    [
        (0.0, False, 1.0, 2.0),
        (0.4, False, 1.0, 2.0),
        (10.0, False, 20.0, 40.0),
        (0.0, True, 2.0, 4.0),
        (10.0, True, 40.0, 80.0),
        (1e9, False, 300.0, 600.0),  # no expectation makes a hang invisible
    ],
)
def test_a_batch_that_does_not_end_is_found(
    expected_seconds: float, is_solo: bool, stalled: float, hung: float
) -> None:
    reading = {"started": 1, "expected_seconds": expected_seconds, "is_solo": is_solo}
    for pulse, when in ((Pulse.STALLED, stalled), (Pulse.HUNG, hung)):
        found = _first(PulseWatch(), pulse, hung + 1, **reading)
        assert found == pytest.approx(when, abs=2 * _TICK)


@pytest.mark.parametrize("step", ["started", "done", "encoded", "long_encoded"])
def test_any_step_is_a_sign_of_life(step: str) -> None:
    watch = PulseWatch()
    for now in _times(100):
        reading = _at(now, **{step: int(now)})  # type: ignore[arg-type]
        assert watch.look(reading) in (Pulse.MOVING, Pulse.STALLED)
    assert watch.still_seconds < 1.1


def test_an_idle_shard_is_left_alone_and_its_rest_does_not_count() -> None:
    watch = PulseWatch()
    for now in _times(100):
        assert watch.look(_at(now, waiting_bytes=0)) is Pulse.MOVING
    assert watch.look(_at(100.1)) is Pulse.MOVING
    assert watch.still_seconds == 0


def test_large_texts_may_take_long_to_encode() -> None:
    found = _first(PulseWatch(), Pulse.HUNG, 30, waiting_bytes=2_000_000)
    assert found == pytest.approx(16.0, abs=2 * _TICK)


def test_who_goes_on_beside_it_does_not_hide_what_hangs() -> None:
    """Small jobs are encoded all the time: beside a batch, or a long text, that does not end."""
    for stuck in ({"started": 1}, {"encoding": (0, 7)}):
        watch = PulseWatch()
        found = [watch.look(_at(now, encoded=int(now * 10), **stuck)) for now in _times(2.2)]
        assert found[0] is Pulse.MOVING
        assert found[-1] is Pulse.HUNG
        assert watch.still_seconds >= watch.patience_seconds == 2


def test_a_batch_that_takes_long_leaves_an_encoder_no_more_time() -> None:
    watch = PulseWatch()
    reading = {"started": 1, "expected_seconds": 100.0, "encoding": (7, 0)}
    found = [watch.look(_at(now, **reading)) for now in _times(2.2)]  # type: ignore[arg-type]
    assert found[-1] is Pulse.HUNG


def test_a_pause_of_the_whole_machine_is_no_hang() -> None:
    watch = PulseWatch()
    watch.look(_at(0.0, started=1))
    assert watch.look(_at(3600.0, started=1)) is Pulse.MOVING
    assert watch.still_seconds == 0.5
