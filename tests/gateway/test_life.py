"""What the end of a shard says about the jobs inside."""

import signal

import pytest

from gateway.life import Ending, how_it_ended
from shards.wire.arena import Progress
from shards.wire.exit_codes import ExitCode


def _progress(*, on_device: tuple[int, ...] = (), encoding: tuple[int, int] = (0, 0)) -> Progress:
    return Progress(bool(on_device), 0, 0, 0, (0, 0), encoding, on_device)


@pytest.mark.parametrize(
    ("progress", "suspects"),
    [
        (_progress(), set()),
        (_progress(on_device=(1, 2)), {1, 2}),
        (_progress(encoding=(3, 0)), {3}),
        (_progress(encoding=(0, 4)), {4}),
        (_progress(on_device=(1, 2), encoding=(3, 4)), {1, 2, 3, 4}),
    ],
)
def test_what_was_on_the_device_or_in_the_encoder_is_suspect(
    progress: Progress, suspects: set[int]
) -> None:
    ending = how_it_ended(1, progress, was_ready=True, verdict="", is_innocent=False)
    assert ending.suspects == suspects
    assert ending.is_crash


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_end_from_outside_says_nothing_about_the_jobs(number: signal.Signals) -> None:
    progress = _progress(on_device=(1, 2), encoding=(3, 0))
    ending = how_it_ended(-number, progress, was_ready=True, verdict="", is_innocent=False)
    assert not ending.suspects
    assert not ending.is_crash


def test_an_end_for_want_of_memory_is_the_jobs_and_counts() -> None:
    progress = _progress(on_device=(1, 2))
    ending = how_it_ended(
        -signal.SIGKILL, progress, was_ready=True, verdict="", is_innocent=False, is_oom=True
    )
    assert ending.suspects == {1, 2}
    assert ending.is_strike
    assert not ending.is_device
    assert "SIGKILL by the kernel, because memory ran out while it was at 2 jobs" in ending.reason


def test_a_crash_with_jobs_to_blame_is_no_step_towards_giving_up() -> None:
    def ending(progress: Progress) -> Ending:
        return how_it_ended(1, progress, was_ready=True, verdict="", is_innocent=False)

    assert not ending(_progress(on_device=(1,))).is_strike
    assert ending(_progress()).is_strike


@pytest.mark.parametrize(
    ("code", "was_ready", "is_device"),
    [
        (ExitCode.DEVICE, True, True),
        (ExitCode.TEMPORARY, False, True),
        (-signal.SIGSEGV, False, True),
        (-signal.SIGSEGV, True, False),
        (ExitCode.INTERNAL, True, False),
    ],
)
def test_which_ends_are_the_devices(code: int, was_ready: bool, is_device: bool) -> None:
    ending = how_it_ended(code, _progress(), was_ready=was_ready, verdict="", is_innocent=False)
    assert ending.is_device == is_device
