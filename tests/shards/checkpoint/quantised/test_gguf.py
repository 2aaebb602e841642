"""Blocks of GGUF: the numbers of the `gguf` package, bit for bit, and rows of zeros before them."""

import gguf
import numpy as np
import pytest
import torch

from shards.checkpoint.expect import File
from shards.checkpoint.quantised.gguf import BEFORE
from shards.checkpoint.quantised.gguf import gguf as read
from shards.checkpoint.quantised.stored import Stored
from shards.wire.gguf_file import KINDS

_BLOCKS = {kind.name: kind for kind in KINDS.values() if kind.numbers > 1}
_HALVES = {"Q4_1": 2, "Q5_1": 2, "Q4_K": 2, "Q5_K": 2}


def _random(name: str, rows: int, blocks: int) -> np.ndarray:
    """Return random blocks, whose scales are all numbers."""
    kind = _BLOCKS[name]
    chance = np.random.default_rng(0)
    content = chance.integers(0, 256, (rows * blocks, kind.bytes), dtype=np.uint8)
    number = _HALVES.get(name, 1)
    scales = chance.normal(size=(rows * blocks, number)).astype(np.float16).view(np.uint8)
    start = kind.bytes - 2 if name == "Q6_K" else 0
    content[:, start : start + 2 * number] = scales
    return content.reshape(rows, -1)


@pytest.mark.parametrize("name", _BLOCKS)
def test_blocks_stand_for_the_numbers_of_the_package(name: str) -> None:
    content = _random(name, 2100, 3)
    about = gguf.GGMLQuantizationType[name]
    kind = _BLOCKS[name]
    assert gguf.GGML_QUANT_SIZES[about] == (kind.numbers, kind.bytes)
    headers = {"w": {"dtype": name, "shape": list(content.shape)}}
    stored = Stored("config.json", headers, lambda name: torch.from_numpy(content))
    found = read(File("config.json", {}), stored)
    expected = torch.from_numpy(gguf.dequantize(content, about))
    assert torch.equal(found.read("w", stored.read), expected)
    assert torch.equal(found.read("w", stored.read, slice(5, 9)), expected[5:9])
    assert found.shapes(headers) == {"w": (2100, 3 * kind.numbers)}
    assert found.summary == f"GGUF, {name}"
    moved = read(File("config.json", {BEFORE: {"w": 2}}), stored).read("w", stored.read)
    assert torch.equal(moved, torch.cat([torch.zeros(2, expected.shape[1]), expected]))
