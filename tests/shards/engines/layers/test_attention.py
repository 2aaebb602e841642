"""Attention and the steps beside it: every implementation gives the same numbers, on a CPU."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from shards.engines import load_engine
from shards.engines.decoder import qwen3
from shards.engines.layers import attention
from shards.engines.layers.attention import Flash, Grouped
from shards.engines.layers.elementwise import IN_PLACE, PLAIN, rotations
from shards.engines.layers.packed_layout import Segment, group_segments
from shards.engines.layers.varlen import by_torch
from shards.wire.spec import ShardSpec
from tests import checkpoints
from tests.shards.engines.varlens import varlen_attn

KV_HEADS, SHARE, DIM = 2, 3, 8
KERNEL = by_torch(varlen_attn)


def segments_of(lengths: Sequence[tuple[int, int]], kept: int) -> list[Segment]:
    """Return segments by length and cached rows; each also attends to a short one before it."""
    segments: list[Segment] = []
    row = 0
    for length, past in lengths:
        before = ((0, past),) if past else ()
        if segments and segments[-1].length < 5:
            start, count = segments[-1].rows
            before = (*before, (kept + start, count))
        segments.append(Segment((row, length), (*before, (kept + row, length))))
        row += length
    return segments


@pytest.mark.parametrize("step", [1, 8])
@pytest.mark.parametrize("seed", range(6))
def test_groups_equal_flash_attention(
    seed: int, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(seed)
    monkeypatch.setattr(attention, "MOST_SCORES", draw.choice([50, 2000, 1 << 20]))
    monkeypatch.setattr(attention, "MOST_ATTENDED", draw.choice([1, 30, 1 << 16]))
    monkeypatch.setattr(attention, "STEP", step)
    form = torch.float64 if step > 1 else torch.float32  # fp32 needs no steps
    kept = 9
    lengths = [(draw.choice([1, 2, 3, 7, 40]), draw.choice([0, 4, 9])) for _ in range(12)]
    segments = segments_of(lengths, kept)
    rows = sum(length for length, _ in lengths)
    torch.manual_seed(seed)
    queries = torch.randn(KV_HEADS, rows + 1, SHARE * DIM, dtype=form)
    keys, values = torch.randn(2, KV_HEADS, kept + rows, DIM, dtype=form)
    found = []
    for attend in (Grouped(segments, rows, "cpu", form), Flash(segments, "cpu", KERNEL)):
        out = torch.full_like(queries, float("nan"))
        attend(queries.clone(), keys, values, out)
        found.append(out[:, :-1])
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-5)


def test_in_place_steps_equal_the_plain_formulas() -> None:
    torch.manual_seed(0)
    states, weight = torch.randn(50, 64), torch.rand(64)
    before = states.clone()
    torch.testing.assert_close(
        IN_PLACE.normed(states, weight, 1e-6), PLAIN.normed(states, weight, 1e-6)
    )
    torch.testing.assert_close(IN_PLACE.gated(states), PLAIN.gated(states))
    norms, speeds = torch.rand(KV_HEADS, 32), torch.rand(16)
    turned = rotations(torch.arange(50), speeds)
    torch.testing.assert_close(
        IN_PLACE.turn(states, norms, turned, 1e-6), PLAIN.turn(states, norms, turned, 1e-6)
    )
    assert torch.equal(states, before)


def test_the_layers_of_a_gpu_give_the_same_margins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flash attention and plain formulas, uncompiled, through a whole model."""
    spec = ShardSpec(name="m/cpu", model="m", source=str(checkpoints.qwen3(tmp_path)), dtype="fp32")
    documents = (*checkpoints.SAMPLES, "", "x")

    def margins() -> list[float]:
        engine = load_engine(spec, lambda line: None)
        first, second = (
            engine.tokenizer.tokenize(query, documents, instruction="", max_document_tokens=0)
            for query in ("first", "second query")
        )
        return [*engine.score(first[:3]), *engine.score([*first, *second])]

    expected = margins()

    def flash(segments: Sequence[Segment], rows: int, device: str, form: Any, dim: int) -> Flash:
        return Flash(segments, device, KERNEL)

    monkeypatch.setattr(qwen3, "attention_for", flash)
    monkeypatch.setattr(qwen3, "STEP", 1)
    monkeypatch.setattr(qwen3, "steps_on", lambda *_: PLAIN)
    assert margins() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("count", [1, 2, 7, 13])
def test_groups_have_few_shapes_where_kernels_are_generated_for_shapes(count: int) -> None:
    segments = segments_of([(10 + at % 3, 4) for at in range(count)], kept=9)
    rows = sum(segment.length for segment in segments)
    groups = group_segments(segments, rows=rows, most_scores=1 << 20, step=8)
    for group in groups:
        assert group.length % 8 == 0
        assert (group.past + group.length) % 8 == 0
        members = len(group.rows) // group.length
        assert members & (members - 1) == 0
    written = torch.cat([group.rows for group in groups])
    assert sorted(written[written < rows].tolist()) == list(range(rows))


def test_long_segments_of_any_length_have_few_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """oneDNN keeps megabytes for each shape: one document of 32K tokens took ten gigabytes."""
    monkeypatch.setattr(attention, "MOST_SCORES", 1 << 14)
    seen: set[int] = set()
    product = torch.bmm

    def noting(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        seen.update(second.shape[1:])
        return product(first, second)

    monkeypatch.setattr(torch, "bmm", noting)
    lengths = range(1001, 4096, 500)
    for length in lengths:
        segments = [Segment((0, length), ((0, length),))]
        queries = torch.randn(1, length + 1, DIM)
        keys, values = torch.randn(2, 1, length, DIM)
        Grouped(segments, length, "cpu", torch.float32)(queries, keys, values, queries)
    assert len(seen) < 16 * 10  # of thousands of steps
