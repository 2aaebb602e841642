"""Packed batches and cached prefixes: the same margins in any batch, and the tokens saved."""

import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shards.engines import load_engine
from shards.engines.base import ReportsSteps
from shards.engines.decoder import qwen3
from shards.engines.decoder.causal import CausalEngine
from shards.engines.layers import attention
from shards.native.library import limited_to
from shards.pairs import TokenizedPair
from shards.wire.spec import ShardSpec
from tests import checkpoints
from tests.shards.engines import reference
from tests.shards.native.here import wide_tiers

TOLERANCE = 1e-4  # of the margin, in fp32
QUERIES = ("capital of France?", "столица Франции", "中国的首都是哪里？", "x")
INSTRUCTIONS = ("", "Find the passage that answers.", "按相关性判断")
DOCUMENTS = (*checkpoints.SAMPLES, "", " ", "Paris", ": (", checkpoints.SAMPLES[0] * 12)


@cache
def engine_of(folder: Path, **settings: Any) -> CausalEngine:
    settings = {"dtype": "fp32"} | settings
    spec = ShardSpec(name="m/cpu", model="m", source=str(folder), **settings)
    engine = load_engine(spec, lambda line: None)
    assert isinstance(engine, CausalEngine)
    return engine


def pairs_of(
    engine: CausalEngine, query: str, documents: Sequence[str], instruction: str = ""
) -> list[TokenizedPair]:
    return engine.tokenizer.tokenize(
        query, documents, instruction=instruction, max_document_tokens=0
    )


def plain(pair: TokenizedPair) -> TokenizedPair:
    return TokenizedPair(pair.token_ids, pair.document_start, pair.truncated)


@cache
def alone(folder: Path, query: str, document: str, instruction: str) -> float:
    """Return the margin of a pair that shares nothing, computed in a batch of its own."""
    engine = engine_of(folder, prefix_cache_mb=0)
    (pair,) = pairs_of(engine, query, [document], instruction)
    return engine.score([plain(pair)])[0]


@pytest.mark.parametrize("instruction", INSTRUCTIONS)
def test_pairs_that_share_nothing_equal_the_model_card(
    instruction: str, models: dict[str, Path]
) -> None:
    folder = models["qwen3"]
    ours = [alone(folder, QUERIES[1], document, instruction) for document in DOCUMENTS]
    task = instruction or reference.TASK
    expected = reference.causal_margins(folder, QUERIES[1], DOCUMENTS, task)
    assert ours == pytest.approx(expected, abs=TOLERANCE)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(QUERIES),
            st.sampled_from(DOCUMENTS),
            st.sampled_from(INSTRUCTIONS),
            st.booleans(),
        ),
        min_size=1,
        max_size=24,
    ),
    st.sampled_from([0, 1, 64]),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_batch_any_order_and_any_cached_prefixes(
    models_folder: Path, requests: list[tuple[str, str, str, bool]], cache_mb: int
) -> None:
    engine = engine_of(models_folder, prefix_cache_mb=cache_mb)
    batch = []
    for query, document, instruction, shares in requests:
        (pair,) = pairs_of(engine, query, [document], instruction)
        batch.append(pair if shares else plain(pair))
    expected = [alone(models_folder, *request[:3]) for request in requests]
    assert engine.score(batch) == pytest.approx(expected, abs=TOLERANCE)
    assert engine.score(batch[::-1]) == pytest.approx(expected[::-1], abs=TOLERANCE)


@pytest.fixture(scope="session")
def models_folder(models: dict[str, Path]) -> Path:
    """Return a checkpoint of four layers, whose queries share key heads."""
    return models["qwen3-untied"]


def up_to_eight(tokens: int) -> int:
    """Return the padded length of a row; see `packed_layout`."""
    return tokens + -tokens % 8


def test_a_prefix_is_computed_once_and_cached(models: dict[str, Path], tmp_path: Path) -> None:
    engine = engine_of(models["qwen3"], max_length=4000)  # an engine for this test alone
    documents = [*checkpoints.SAMPLES[:3]]
    first = pairs_of(engine, "q", documents)
    prefix = first[0].prefix
    assert prefix is not None
    own = [pair.own_tokens for pair in first]
    margins = engine.score(first)
    work = engine.last_work
    assert (work.prefix_hits, work.prefix_misses) == (0, 2)
    assert sum(work.computed) == up_to_eight(len(prefix) + sum(own))
    assert list(work.computed[1:]) == own[1:]
    assert list(work.saved) == [0, len(prefix), len(prefix)]

    assert engine.score(first) == pytest.approx(margins, abs=1e-6)
    work = engine.last_work
    assert (work.prefix_hits, work.prefix_misses) == (2, 0)
    assert sum(work.computed) == up_to_eight(sum(own))

    engine.score(pairs_of(engine, "another query", documents))
    work = engine.last_work
    assert (work.prefix_hits, work.prefix_misses) == (1, 1)  # system prompt and instruction
    assert work.saved[0] == prefix.ends[0]


def test_system_prompt_and_instruction_are_warm(models: dict[str, Path]) -> None:
    engine = engine_of(models["qwen3"], max_length=3000)
    engine.warm_up()
    engine.score(pairs_of(engine, "the first query", ["a document"]))
    assert (engine.last_work.prefix_hits, engine.last_work.prefix_misses) == (1, 1)


def test_a_long_document_is_scored_in_pieces(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows and scores are bounded for any length, and the pieces give the margin of the whole."""
    most = []
    softmax = torch.Tensor.softmax

    def noting(scores: Any, *args: Any, **kwargs: Any) -> Any:
        most.append(scores.numel())
        return softmax(scores, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "softmax", noting)
    engine = engine_of(models["qwen3"], max_length=6000)
    text = " ".join(random.Random(1).choices(" ".join(checkpoints.SAMPLES).split(), k=2500))
    pairs = pairs_of(engine, "q", [text, "short"])
    monkeypatch.setattr(attention, "MOST_SCORES", 1 << 16)
    in_pieces = engine.score(pairs)
    heads = 4
    assert len(pairs[0]) > 3000
    assert max(most) <= heads << 16
    monkeypatch.setattr(attention, "MOST_SCORES", 1 << 30)
    monkeypatch.setattr(qwen3, "_ROWS", 1 << 20)
    assert engine.score(pairs) == pytest.approx(in_pieces, abs=TOLERANCE)
    expected = reference.causal_margins(models["qwen3"], "q", [text, "short"])
    assert in_pieces == pytest.approx(expected, abs=TOLERANCE)


def test_each_layer_of_a_batch_is_reported(models: dict[str, Path]) -> None:
    """A long document takes minutes: hang detection must see its progress."""
    engine = engine_of(models["qwen3-untied"], max_length=3001)
    assert isinstance(engine, ReportsSteps)
    steps: list[int] = []
    engine.on_step = lambda: steps.append(len(steps))
    engine.score(pairs_of(engine, "q", ["a document"]))
    assert len(steps) == 3  # of four layers: the end of the last one is the end of the batch


@pytest.mark.parametrize(("dtype", "bound"), [("fp32", TOLERANCE), ("bf16", 0.05), ("int8", 0.1)])
@pytest.mark.parametrize("tier", wide_tiers)
def test_margins_are_the_same_without_the_kernels(
    tier: str, dtype: str, bound: float, models: dict[str, Path]
) -> None:
    margins = []
    for limit in (tier, ""):
        with limited_to(limit):
            engine = engine_of.__wrapped__(models["qwen3-untied"], dtype=dtype, int8_anyway=True)
            pairs = [
                *pairs_of(engine, QUERIES[0], DOCUMENTS),
                *pairs_of(engine, "x", DOCUMENTS[:3]),
            ]
            margins.append(engine.score(pairs))
    assert margins[0] == pytest.approx(margins[1], abs=bound)
    assert dtype == "fp32" or margins[0] != margins[1]
