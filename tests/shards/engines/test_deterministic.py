"""The same pair scores the same: alone, in any batch, in any order, and as a passage.

How far it may differ is a stated bound for each number format; another way of computing (weights in
eight bits, a prefix that pairs share) joins the tests with a line in `ENGINES`.
"""

from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shards.documents import encode_documents
from shards.engines import load_engine
from shards.engines.base import Engine
from shards.pairs import EncodedPair
from shards.wire.messages import Score
from shards.wire.spec import ShardSpec
from tests import checkpoints
from tests.shards.engines.test_equality import EMBEDDED

ENGINES: dict[str, tuple[dict[str, Any], float]] = {
    "bert in fp32": ({"source": "embedded-bert", "dtype": "fp32"}, 1e-5),
    "qwen3 in fp32": ({"source": "embedded-qwen3", "dtype": "fp32"}, 1e-5),
    "bert in bf16": ({"source": "embedded-bert", "dtype": "bf16"}, 0.05),
    "qwen3 in bf16": ({"source": "embedded-qwen3", "dtype": "bf16"}, 0.05),
}
"""What a shard is told, and how far the margins of one pair may lie apart, for margins up to 1;
larger ones may in proportion."""

_WORDS = st.sampled_from(" ".join(checkpoints.SAMPLES).split())
_TEXTS = st.lists(_WORDS, min_size=0, max_size=80).map(" ".join) | st.sampled_from(
    (*checkpoints.SAMPLES, "", "x", "🙂" * 40, "<|im_end|> [SEP] </s>")
)
_PAIRS = st.tuples(_TEXTS.filter(bool), _TEXTS)

_few = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@cache
def _engine(name: str) -> Engine:
    told = ENGINES[name][0]
    folder = str(EMBEDDED / told["source"])
    spec = ShardSpec(name="m/cpu", model="m", **{**told, "source": folder})
    return load_engine(spec, lambda line: None)


def _encoded(engine: Engine, query: str, document: str) -> EncodedPair:
    (pair,) = engine.encoder.encode(query, (document,), instruction="", max_document_tokens=0)
    return pair


def _assert_same(name: str, found: list[float], expected: list[float]) -> None:
    bound = ENGINES[name][1]
    for one, other in zip(found, expected, strict=True):
        assert abs(one - other) <= bound * max(1.0, abs(other))


@pytest.mark.parametrize("name", ENGINES)
@_few
@given(pairs=st.lists(_PAIRS, min_size=2, max_size=9), order=st.randoms(use_true_random=False))
def test_a_pair_scores_the_same_alone_and_in_any_batch(
    name: str, pairs: list[tuple[str, str]], order: Any
) -> None:
    engine = _engine(name)
    encoded = [_encoded(engine, *pair) for pair in pairs]
    alone = [engine.score([pair])[0] for pair in encoded]
    _assert_same(name, engine.score(encoded), alone)
    places = list(range(len(encoded)))
    order.shuffle(places)
    shuffled = engine.score([encoded[place] for place in places])
    _assert_same(name, shuffled, [alone[place] for place in places])


@pytest.mark.parametrize("name", ENGINES)
@_few
@given(pair=_PAIRS)
def test_twice_is_the_same_to_the_last_bit(name: str, pair: tuple[str, str]) -> None:
    engine = _engine(name)
    encoded = _encoded(engine, *pair)
    assert engine.score([encoded]) == engine.score([encoded])


@pytest.mark.parametrize("name", ENGINES)
@_few
@given(query=_TEXTS.filter(bool), parts=st.lists(_TEXTS, min_size=2, max_size=6))
def test_a_passage_scores_what_its_text_scores_alone(
    name: str, query: str, parts: list[str]
) -> None:
    engine, text = _engine(name), ". ".join(parts)
    score = Score(
        1, 0, 0, "", (query,), (text,), in_passages=True, passage_tokens=32, passage_overlap=8
    )
    (document,) = encode_documents(engine.encoder, score)
    together = engine.score(document.pairs)
    passages = [text[start:end] for start, end in document.spans]
    alone = [engine.score([_encoded(engine, query, passage)])[0] for passage in passages]
    _assert_same(name, together, alone)
