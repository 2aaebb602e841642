"""What the end of a shard says about the jobs inside."""

import signal

import pytest

from gateway.life import how_it_ended
from shards.wire.arena import Progress


def _progress(*, on_device: tuple[int, ...] = (), encoding: int = 0) -> Progress:
    return Progress(bool(on_device), 0, 0, 0, 0, encoding, on_device)


@pytest.mark.parametrize(
    ("progress", "suspects"),
    [
        (_progress(), set()),
        (_progress(on_device=(1, 2)), {1, 2}),
        (_progress(encoding=3), {3}),
        (_progress(on_device=(1, 2), encoding=3), {1, 2, 3}),
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
    progress = _progress(on_device=(1, 2), encoding=3)
    ending = how_it_ended(-number, progress, was_ready=True, verdict="", is_innocent=False)
    assert not ending.suspects
    assert not ending.is_crash
