"""Reduced memory and device of a shard after failures, and the time until they are restored."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gateway.supervision.degradation import Degradation
from shards.wire.spec import ShardSpec

_GPU = ShardSpec(
    name="m/cuda:0", model="m", source="s", device="cuda:0", dtype="fp16", token_budget=16384
)


def test_a_new_shard_has_no_reductions() -> None:
    assert Degradation(_GPU).spec(3, 0.0) == replace(_GPU, generation=3)
    assert Degradation(_GPU).warnings(0.0) == ()


def test_each_out_of_memory_kill_halves_the_first_batches() -> None:
    shard = Degradation(_GPU)
    for budget in (8192, 4096, 2048):
        shard.record_oom_kill(0.0, 16384)
        assert shard.spec(2, 1.0).first_token_budget == budget
    assert shard.oom_kills == 3
    assert "begin with 2048 tokens instead of 16384" in shard.warnings(1.0)[0]


def test_a_shard_that_was_never_ready_has_no_batches_to_halve() -> None:
    shard = Degradation(_GPU)
    shard.record_oom_kill(0.0, 0)
    assert shard.spec(2, 1.0).first_token_budget == 0
    assert shard.oom_kills == 1


def test_after_ten_minutes_batches_begin_whole() -> None:
    shard = Degradation(_GPU)
    shard.record_oom_kill(0.0, 16384)
    assert shard.spec(2, 599.0).first_token_budget == 8192
    assert shard.spec(3, 600.0).first_token_budget == 0
    shard.record_oom_kill(700.0, 16384)
    assert shard.spec(4, 701.0).first_token_budget == 8192


@given(st.integers(1, 100), st.integers(0, 100_000))
def test_there_is_always_room_for_a_pair(kills: int, budget: int) -> None:
    shard = Degradation(_GPU)
    for _ in range(kills):
        shard.record_oom_kill(0.0, budget)
    assert (shard.spec(2, 0.0).first_token_budget >= 1) == bool(budget)


def test_a_shard_leaves_its_gpu_after_the_configured_failures() -> None:
    shard = Degradation(_GPU, cpu_after_gpu_failures=3)
    leaves = [shard.record_device_failure(now) for now in (0.0, 1.0, 2.0, 3.0)]
    assert leaves == [False, False, True, False]
    spec = shard.spec(4, 3.0)
    assert (spec.device, spec.dtype, spec.token_budget) == ("cpu", "auto", 0)
    assert spec.name == _GPU.name
    assert "cuda:0 failed too often" in shard.warnings(3.0)[0]
    assert "gateway reload m" in shard.warnings(3.0)[0]


def test_failures_that_are_far_apart_do_not_add_up() -> None:
    shard = Degradation(_GPU, cpu_after_gpu_failures=2)
    assert not any(shard.record_device_failure(now) for now in (0.0, 600.0, 1200.0, 1800.0))


def test_failures_that_a_pair_caused_are_forgiven() -> None:
    shard = Degradation(_GPU, cpu_after_gpu_failures=2)
    for now in range(20):
        assert not shard.record_device_failure(float(now))
        shard.forgive()


def test_a_shard_stays_where_it_is_without_the_setting_or_on_the_cpu() -> None:
    on_cpu = replace(_GPU, device="cpu")
    for shard in (Degradation(_GPU), Degradation(on_cpu, cpu_after_gpu_failures=1)):
        assert not any(shard.record_device_failure(float(now)) for now in range(20))
        assert not shard.leave_missing_device()
        assert not shard.is_demoted


def test_a_gpu_that_is_gone_is_left_at_once() -> None:
    shard = Degradation(_GPU, cpu_after_gpu_failures=5)
    assert shard.leave_missing_device()
    assert shard.spec(2, 0.0).device == "cpu"
