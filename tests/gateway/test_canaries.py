"""What the gateway keeps of its shards' canaries."""

from dataclasses import replace

from gateway.canaries import Canaries, ShardCanary
from shards.wire.messages import Canary
from shards.wire.spec import Remembered, ShardSpec

A = ShardSpec(name="a/cpu:0", model="a", source="x")
PASSED = Canary("full", True, "f1", "fp32", (1.0, -1.0), (2.0,), (), 1500)
FAILED = replace(PASSED, margins=(5.0, 5.0), spread=(), findings=("all equal",))


def test_what_a_life_has_scored_is_told_to_the_next_of_the_same_source() -> None:
    canaries = Canaries()
    assert canaries.told(A).remembered is None
    canaries.heard(A, PASSED)
    remembered = Remembered("f1", "fp32", (1.0, -1.0))
    assert canaries.told(A).remembered == remembered
    assert canaries.told(replace(A, name="b/cuda:0", model="b")).remembered == remembered
    assert canaries.told(replace(A, source="y")).remembered is None


def test_only_who_may_serve_is_remembered() -> None:
    canaries = Canaries()
    for said in (
        FAILED,
        replace(PASSED, fingerprint=""),
        replace(PASSED, after_load=False, margins=()),
    ):
        canaries.heard(A, said)
        assert canaries.told(A).remembered is None


def test_the_status_of_a_shard() -> None:
    canary = ShardCanary(A, Canaries())
    assert canary.status(0.0) is None
    canary.hear(PASSED)
    canary.hear(replace(PASSED, after_load=False, margins=(), spread=()))
    status = canary.status(canary.at + 7)
    assert status is not None
    assert (status.mode, status.passed, status.rounds, status.failures) == ("full", True, 2, 0)
    assert (status.spread, status.milliseconds, status.age_seconds) == (2.0, 1.5, 7.0)
    canary.hear(FAILED)
    status = canary.status(canary.at)
    assert status is not None
    assert (status.passed, status.failures, status.findings) == (False, 1, ("all equal",))
