"""What a shard does without after it has failed for want of it, and for how long."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gateway.concessions import Concessions
from shards.wire.spec import ShardSpec

_GPU = ShardSpec(
    name="m/cuda:0", model="m", source="s", device="cuda:0", dtype="fp16", token_budget=16384
)


def test_nothing_is_given_up_before_anything_has_failed() -> None:
    assert Concessions(_GPU).spec(3, 0.0) == replace(_GPU, generation=3)
    assert Concessions(_GPU).warnings(0.0) == ()


def test_each_want_of_memory_halves_the_first_batches() -> None:
    one = Concessions(_GPU)
    for budget in (8192, 4096, 2048):
        one.oom_killed(0.0, 16384)
        assert one.spec(2, 1.0).first_token_budget == budget
    assert one.oom_kills == 3
    assert "begin with 2048 tokens instead of 16384" in one.warnings(1.0)[0]


def test_a_life_that_was_never_ready_has_no_batches_to_halve() -> None:
    one = Concessions(_GPU)
    one.oom_killed(0.0, 0)
    assert one.spec(2, 1.0).first_token_budget == 0
    assert one.oom_kills == 1


def test_after_ten_minutes_it_begins_as_ever() -> None:
    one = Concessions(_GPU)
    one.oom_killed(0.0, 16384)
    assert one.spec(2, 599.0).first_token_budget == 8192
    assert one.spec(3, 600.0).first_token_budget == 0
    one.oom_killed(700.0, 16384)
    assert one.spec(4, 701.0).first_token_budget == 8192


@given(st.integers(1, 100), st.integers(0, 100_000))
def test_there_is_always_room_for_a_pair(kills: int, budget: int) -> None:
    one = Concessions(_GPU)
    for _ in range(kills):
        one.oom_killed(0.0, budget)
    assert (one.spec(2, 0.0).first_token_budget >= 1) == bool(budget)


def test_it_leaves_its_gpu_after_so_many_failures() -> None:
    one = Concessions(_GPU, cpu_after_gpu_failures=3)
    assert [one.device_failed(now) for now in (0.0, 1.0, 2.0, 3.0)] == [False, False, True, False]
    spec = one.spec(4, 3.0)
    assert (spec.device, spec.dtype, spec.token_budget) == ("cpu", "auto", 0)
    assert spec.name == _GPU.name
    assert "cuda:0 failed too often" in one.warnings(3.0)[0]
    assert "gateway reload m" in one.warnings(3.0)[0]


def test_but_not_for_failures_that_are_far_apart() -> None:
    one = Concessions(_GPU, cpu_after_gpu_failures=2)
    assert not any(one.device_failed(now) for now in (0.0, 600.0, 1200.0, 1800.0))


def test_nor_for_those_of_a_pair_that_was_found_guilty() -> None:
    one = Concessions(_GPU, cpu_after_gpu_failures=2)
    for now in range(20):
        assert not one.device_failed(float(now))
        one.forgive()


def test_nor_unless_somebody_wants_it_nor_from_the_cpu() -> None:
    on_cpu = replace(_GPU, device="cpu")
    for one in (Concessions(_GPU), Concessions(on_cpu, cpu_after_gpu_failures=1)):
        assert not any(one.device_failed(float(now)) for now in range(20))
        assert not one.device_is_gone()
        assert not one.is_demoted


def test_a_gpu_that_is_gone_is_left_at_once() -> None:
    one = Concessions(_GPU, cpu_after_gpu_failures=5)
    assert one.device_is_gone()
    assert one.spec(2, 0.0).device == "cpu"
