"""Slow and idle shards do not hang; a shard without progress for too long does."""

from collections.abc import Iterator

import pytest

from gateway.supervision.hang_detection import HangDetector, ProgressState, Reading
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
    is_isolated: bool = False,
) -> Reading:
    expected_ns = int(expected_seconds * _SECOND)
    progress = Progress(started, done, 0, expected_ns, (encoded, long_encoded), encoding, ())
    return Reading(progress, waiting_bytes, is_isolated, now)


def _times(seconds: float) -> Iterator[float]:
    return (tick * _TICK for tick in range(round(seconds / _TICK) + 1))


def _first(
    detector: HangDetector, state: ProgressState, seconds: float, **reading: float
) -> float | None:
    """Return the time at which a shard without progress is first found in a state."""
    # mypy does not match the types of single keywords with those of `**reading`
    seen = ((now, detector.look(_at(now, **reading))) for now in _times(seconds))  # type: ignore[arg-type]
    return next((now for now, found in seen if found is state), None)


@pytest.mark.parametrize(
    ("expected_seconds", "is_isolated", "stalled", "hung"),
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
    expected_seconds: float, is_isolated: bool, stalled: float, hung: float
) -> None:
    reading = {"started": 1, "expected_seconds": expected_seconds, "is_isolated": is_isolated}
    for state, when in ((ProgressState.STALLED, stalled), (ProgressState.HUNG, hung)):
        found = _first(HangDetector(), state, hung + 1, **reading)
        assert found == pytest.approx(when, abs=2 * _TICK)


@pytest.mark.parametrize("step", ["started", "done", "encoded", "long_encoded"])
def test_any_step_is_progress(step: str) -> None:
    detector = HangDetector()
    for now in _times(100):
        reading = _at(now, **{step: int(now)})  # type: ignore[arg-type]
        assert detector.look(reading) in (ProgressState.MOVING, ProgressState.STALLED)
    assert detector.still_seconds < 1.1


def test_an_idle_shard_does_not_hang_and_idle_time_does_not_count() -> None:
    detector = HangDetector()
    for now in _times(100):
        assert detector.look(_at(now, waiting_bytes=0)) is ProgressState.MOVING
    assert detector.look(_at(100.1)) is ProgressState.MOVING
    assert detector.still_seconds == 0


def test_large_texts_may_take_long_to_tokenize() -> None:
    found = _first(HangDetector(), ProgressState.HUNG, 30, waiting_bytes=2_000_000)
    assert found == pytest.approx(16.0, abs=2 * _TICK)


def test_progress_beside_a_hanging_step_does_not_hide_it() -> None:
    """Small jobs are tokenized all the time beside a batch, or a long text, that does not end."""
    for stuck in ({"started": 1}, {"encoding": (0, 7)}):
        detector = HangDetector()
        found = [detector.look(_at(now, encoded=int(now * 10), **stuck)) for now in _times(2.2)]
        assert found[0] is ProgressState.MOVING
        assert found[-1] is ProgressState.HUNG
        assert detector.still_seconds >= detector.patience_seconds == 2


def test_a_long_batch_gives_a_tokenizer_no_more_time() -> None:
    detector = HangDetector()
    reading = {"started": 1, "expected_seconds": 100.0, "encoding": (7, 0)}
    found = [detector.look(_at(now, **reading)) for now in _times(2.2)]  # type: ignore[arg-type]
    assert found[-1] is ProgressState.HUNG


def test_a_pause_of_the_whole_machine_is_no_hang() -> None:
    detector = HangDetector()
    detector.look(_at(0.0, started=1))
    assert detector.look(_at(3600.0, started=1)) is ProgressState.MOVING
    assert detector.still_seconds == 0.5


def test_a_shard_that_waits_for_a_cpu_does_not_hang() -> None:
    """With 5 % of a core, a step may take twenty times as long; an endless spin is still found."""
    detector = HangDetector()
    states = [
        (now, detector.look(_at(now, started=1), lambda gap: 0.95 * gap)) for now in _times(50)
    ]
    first = next(now for now, state in states if state is ProgressState.HUNG)
    assert first == pytest.approx(40, abs=1)
    starved = HangDetector()
    for now in _times(1000):
        assert starved.look(_at(now, started=1), lambda gap: gap) is ProgressState.MOVING


def test_a_shard_with_progress_is_not_asked_for_its_waits() -> None:
    def waits(gap: float) -> float:
        raise AssertionError

    detector = HangDetector()
    for now in _times(10):
        detector.look(_at(now, started=int(now * 100) + 1), waits)
