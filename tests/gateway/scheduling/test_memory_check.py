"""The check of models against a budget: what is refused, and with what figures."""

from dataclasses import replace

import pytest

from gateway.config import ConfigError, ModelSpec
from gateway.scheduling.memory_check import refuse_too_large
from gateway.scheduling.memory_room import Room
from shards.wire.spec import ShardSpec


def model(name: str, mib: int, *, stays: bool = False, device: str = "cpu") -> ModelSpec:
    shard = ShardSpec(name=f"{name}/0", model=name, source="fake", engine="fake", device=device)
    load = "start" if stays else "first-use"
    plain = ModelSpec(name=name, aliases=(), default=False, source="fake", shards=(shard,))
    return replace(plain, load=load, memory_mb=mib, gpu_memory_mb=mib)  # type: ignore[arg-type]


def problems(room: Room, *specs: ModelSpec) -> list[str]:
    try:
        refuse_too_large(room, specs)
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def test_models_that_fit_one_at_a_time_pass() -> None:
    room = Room(100 << 20)
    assert problems(room, model("a", 30, stays=True), model("b", 70), model("c", 70)) == []


def test_a_model_that_never_fits_beside_those_that_stay_is_refused() -> None:
    (problem,) = problems(Room(100 << 20), model("a", 40, stays=True), model("b", 61))
    assert problem.startswith("models.b: it takes at least 61 MiB, and the machine has 60 MiB of")
    assert "idle_seconds" in problem


def test_models_that_stay_and_do_not_fit_together_are_refused_once() -> None:
    found = problems(
        Room(100 << 20), model("a", 60, stays=True), model("b", 60, stays=True), model("c", 10)
    )
    (problem,) = found
    assert "(a, b) take at least 120 MiB, and the machine has 100 MiB" in problem


def test_each_gpu_is_checked_by_itself() -> None:
    gpus = [model(name, 60, device=f"cuda:{nth}", stays=True) for nth, name in enumerate("ab")]
    assert problems(Room(gpu_bytes=100 << 20), *gpus) == []
    (problem,) = problems(Room(gpu_bytes=50 << 20), gpus[0])
    assert "the cuda:0 has 50 MiB" in problem


@pytest.mark.parametrize("mib", [1, 10**6])
def test_without_a_budget_nothing_is_refused(mib: int) -> None:
    assert problems(Room(), model("a", mib)) == []
