"""The cause of an exit, the suspects among the jobs, and the consequences for the shard."""

import logging
import signal
from typing import Any

import pytest

from gateway.supervision.degradation import Degradation
from gateway.supervision.lifecycle import Event, RestartPolicy
from gateway.supervision.outlier_detection import EjectionPolicy, OutlierDetector
from gateway.supervision.process_exit import Exit, LossHistory, classify_exit
from gateway.supervision.shard_log import ShardLog
from shards.wire.arena import Progress
from shards.wire.exit_codes import ExitCode
from shards.wire.spec import ShardSpec


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
def test_jobs_on_the_device_or_in_the_tokenizer_are_suspects(
    progress: Progress, suspects: set[int]
) -> None:
    end = classify_exit(1, progress, was_ready=True)
    assert end.suspects == suspects
    assert end.is_crash


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_end_from_outside_has_no_suspects(number: signal.Signals) -> None:
    progress = _progress(on_device=(1, 2), encoding=(3, 0))
    end = classify_exit(-number, progress, was_ready=True)
    assert not end.suspects
    assert not end.is_crash


def test_an_out_of_memory_kill_has_suspects_and_counts() -> None:
    progress = _progress(on_device=(1, 2))
    end = classify_exit(-signal.SIGKILL, progress, was_ready=True, is_oom_kill=True)
    assert end.suspects == {1, 2}
    assert end.counts_towards_crash_loop
    assert not end.is_device_failure
    assert "SIGKILL by the kernel, out of memory while it was at 2 jobs" in end.reason


def test_a_crash_with_suspects_does_not_count_towards_giving_up() -> None:
    def end(progress: Progress) -> Exit:
        return classify_exit(1, progress, was_ready=True)

    assert not end(_progress(on_device=(1,))).counts_towards_crash_loop
    assert end(_progress()).counts_towards_crash_loop


@pytest.mark.parametrize(
    ("code", "was_ready", "is_device_failure"),
    [
        (ExitCode.DEVICE, True, True),
        (ExitCode.TEMPORARY, False, True),
        (-signal.SIGSEGV, False, True),
        (-signal.SIGSEGV, True, False),
        (ExitCode.INTERNAL, True, False),
    ],
)
def test_device_failures(code: int, was_ready: bool, is_device_failure: bool) -> None:
    end = classify_exit(code, _progress(), was_ready=was_ready)
    assert end.is_device_failure == is_device_failure


# -- consequences --------------------------------------------------------------------------------


class Bench:
    """The loss history of a shard on a GPU, which it leaves after two failures."""

    def __init__(self) -> None:
        spec = ShardSpec(name="m/cuda:0", model="m", source="s", device="cuda:0")
        self.outliers = OutlierDetector(EjectionPolicy())
        self.outliers.record_start(-100.0)
        self.degradation = Degradation(spec, cpu_after_gpu_failures=2)
        policy = RestartPolicy(crash_limit=1, first_seconds=1.0)
        log = ShardLog(logging.getLogger("gateway.test"), spec, 1)
        self.losses = LossHistory(log, policy, self.outliers, self.degradation)


@pytest.mark.parametrize(
    ("end", "event", "is_crash_loop", "share"),
    [
        ({}, Event.LOST, True, 1 / 3),
        ({"suspects": frozenset({1})}, Event.LOST, False, 1 / 3),
        ({"is_crash": False}, Event.LOST, False, 1.0),
        ({"is_refusal": True}, Event.REFUSED, False, 1.0),
        ({"is_stuck": True}, Event.STUCK, False, 1.0),
    ],
)
def test_the_event_of_an_end(
    end: dict[str, Any], event: Event, is_crash_loop: bool, share: float
) -> None:
    bench = Bench()
    assert [bench.losses.record(Exit("why", **end), now) for now in (0.0, 1.0)] == [event] * 2
    assert bench.losses.last_error == "why"
    assert bench.losses.is_crash_loop(1.0) == is_crash_loop
    assert bench.outliers.share(1.0) == share


def test_losses_in_a_row_double_the_wait_until_the_shard_is_ready() -> None:
    bench = Bench()
    waits = []
    for now in (0.0, 1.0):
        bench.losses.record(Exit("why"), now)
        waits.append(bench.losses.wait_seconds(0.5))
    bench.losses.record_ready()
    bench.losses.record(Exit("why"), 2.0)
    assert [*waits, bench.losses.wait_seconds(0.5)] == [1.0, 2.0, 1.0]


def test_a_pair_is_blamed_instead_of_the_gpu() -> None:
    bench = Bench()
    end = Exit("why", is_device_failure=True)
    for now in range(9):
        bench.losses.record(end, float(now), blames_pair=True)
    assert not bench.degradation.is_demoted
    for now in (10, 11):
        assert bench.losses.record(end, float(now)) is Event.LOST
    assert bench.degradation.is_demoted


def test_a_spec_that_has_worked_before_means_that_the_gpu_is_gone() -> None:
    refusal = Exit("no such device", is_refusal=True, is_spec_error=True)
    bench = Bench()
    assert bench.losses.record(refusal, 0.0) is Event.REFUSED
    bench.losses.record_ready()
    assert bench.losses.record(refusal, 1.0) is Event.LOST
    assert bench.degradation.is_demoted


def test_a_loss_at_each_start_is_said_once_and_then_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    for now in range(9):
        bench.losses.record(Exit("exited with code 1", is_crash=False), float(now))
    first, *again = caplog.records
    assert first.getMessage() == "shard is lost: exited with code 1"
    assert [vars(record)["times"] for record in again] == [2, 4, 8]
    assert not any("exited" in record.getMessage() for record in again)
    bench.losses.record(Exit("exited with code 2", is_crash=False), 9.0)
    bench.losses.record_ready()
    bench.losses.record(Exit("exited with code 2", is_crash=False), 10.0)
    assert [record.getMessage() for record in caplog.records[-2:]] == [
        "shard is lost: exited with code 2"
    ] * 2
