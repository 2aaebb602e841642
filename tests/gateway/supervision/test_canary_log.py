"""Canary results of shards, as the gateway keeps them."""

import logging
from dataclasses import replace

from gateway.supervision.canary_log import CanaryLog, ShardCanaryLog
from gateway.supervision.shard_log import ShardLog
from shards.wire.messages import Canary
from shards.wire.spec import Remembered, ShardSpec

A = ShardSpec(name="a/cpu:0", model="a", source="x")
PASSED = Canary("full", True, "f1", "fp32", (1.0, -1.0), (2.0,), (), 1500)
FAILED = replace(PASSED, margins=(5.0, 5.0), spread=(), findings=("all equal",))


def test_margins_go_to_the_next_generation_of_the_same_source() -> None:
    canaries = CanaryLog()
    assert canaries.spec_with_baseline(A).remembered is None
    canaries.record(A, PASSED)
    remembered = Remembered("f1", "fp32", (1.0, -1.0))
    assert canaries.spec_with_baseline(A).remembered == remembered
    assert (
        canaries.spec_with_baseline(replace(A, name="b/cuda:0", model="b")).remembered == remembered
    )
    assert canaries.spec_with_baseline(replace(A, source="y")).remembered is None


def test_only_margins_of_a_shard_that_may_serve_are_remembered() -> None:
    canaries = CanaryLog()
    for result in (
        FAILED,
        replace(PASSED, fingerprint=""),
        replace(PASSED, after_load=False, margins=()),
    ):
        canaries.record(A, result)
        assert canaries.spec_with_baseline(A).remembered is None


def test_the_status_of_a_shard() -> None:
    canary = ShardCanaryLog(A, CanaryLog(), ShardLog(logging.getLogger(), A, 1))
    assert canary.status(0.0) is None
    canary.record(PASSED)
    canary.record(replace(PASSED, after_load=False, margins=(), spread=()))
    status = canary.status(canary.at + 7)
    assert status is not None
    assert (status.mode, status.passed, status.rounds, status.failures) == ("full", True, 2, 0)
    assert (status.spread, status.milliseconds, status.age_seconds) == (2.0, 1.5, 7.0)
    canary.record(FAILED)
    status = canary.status(canary.at)
    assert status is not None
    assert (status.passed, status.failures, status.findings) == (False, 1, ("all equal",))
