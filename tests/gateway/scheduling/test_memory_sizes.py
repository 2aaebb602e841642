"""The memory of a load: stated, estimated from files, and what it takes for certain."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config import ModelSpec
from gateway.scheduling.memory_sizes import MemorySizes
from shards.wire.spec import ShardSpec

MIB = 1 << 20
NUMBERS = 1000 * MIB


def spec(source: str, *, device: str = "cpu", dtype: str = "auto", replicas: int = 1) -> ModelSpec:
    shards = tuple(
        ShardSpec(name=f"m/{nth}", model="m", source=source, device=device, dtype=dtype)
        for nth in range(replicas)
    )
    return ModelSpec(name="m", aliases=(), default=True, source=source, shards=shards)


@pytest.fixture
def source(tmp_path: Path) -> str:
    """Return a folder whose file has the head of bf16 weights, and no weights."""
    head = json.dumps({"w": {"dtype": "BF16", "shape": [1000, MIB], "data_offsets": [0, 0]}})
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(head).to_bytes(8, "little") + head.encode())
    return str(tmp_path)


@pytest.mark.parametrize(
    ("dtype", "load", "least"), [("auto", 4, 2), ("fp32", 4, 4), ("bf16", 2, 2), ("int8", 2, 1)]
)
def test_an_estimate_follows_the_number_format(
    source: str, dtype: str, load: int, least: int
) -> None:
    need = MemorySizes().need(spec(source, dtype=dtype))
    assert need.sizes == {"machine": 400 * MIB + int(1.15 * load * NUMBERS)}
    assert need.least == {"machine": least * NUMBERS}
    assert need.is_guess


def test_replicas_take_their_memory_each(source: str) -> None:
    one, two = (MemorySizes().need(spec(source, replicas=count)) for count in (1, 2))
    assert two.sizes["machine"] == 2 * one.sizes["machine"]
    assert two.least["machine"] == 2 * one.least["machine"]


def test_a_gpu_is_a_pool_of_its_own(source: str) -> None:
    need = MemorySizes().need(spec(source, device="cuda:1"))
    assert need.sizes["cuda:1"] == 1024 * MIB + int(1.15 * 2 * NUMBERS)
    assert need.least == {"machine": 0, "cuda:1": 2 * NUMBERS}
    stated = MemorySizes().need(replace(spec(source, device="cuda:1"), gpu_memory_mb=7))
    assert stated.sizes["cuda:1"] == stated.least["cuda:1"] == 7 * MIB


def test_a_stated_size_is_no_guess(source: str) -> None:
    need = MemorySizes().need(replace(spec(source), memory_mb=5))
    assert (need.sizes, need.least) == ({"machine": 5 * MIB}, {"machine": 5 * MIB})
    assert not need.is_guess


def test_what_is_not_on_the_disk_has_the_size_of_a_process() -> None:
    need = MemorySizes().need(spec("owner/nothing"))
    assert (need.sizes, need.least) == ({"machine": 400 * MIB}, {"machine": 0})
