"""The same pair scores the same: alone, in any batch, in any order, and as a passage.

The largest difference is a stated bound for each number format. Another implementation (weights in
eight bits, a prefix that pairs share) joins the tests with a line in `ENGINES`.
"""

from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shards.engines import load_engine
from shards.engines.base import Engine
from shards.pairs import TokenizedPair
from shards.wire.messages import Score
from shards.wire.spec import ShardSpec
from shards.worker.documents import tokenized_slices
from tests import checkpoints
from tests.shards.engines.test_equality import EMBEDDED

ENGINES: dict[str, tuple[dict[str, Any], float]] = {
    "bert in fp32": ({"source": "embedded-bert", "dtype": "fp32"}, 1e-5),
    "qwen3 in fp32": ({"source": "embedded-qwen3", "dtype": "fp32"}, 1e-5),
    "bert in bf16": ({"source": "embedded-bert", "dtype": "bf16"}, 0.05),
    "qwen3 in bf16": ({"source": "embedded-qwen3", "dtype": "bf16"}, 0.05),
}
"""The settings of a shard, and the largest difference of one pair's margins up to 1.

The bound of larger margins grows in proportion.
"""

_WORDS = st.sampled_from(" ".join(checkpoints.SAMPLES).split())
_TEXTS = st.lists(_WORDS, min_size=0, max_size=80).map(" ".join) | st.sampled_from(
    (*checkpoints.SAMPLES, "", "x", "🙂" * 40, "<|im_end|> [SEP] </s>")
)
_PAIRS = st.tuples(_TEXTS.filter(bool), _TEXTS)

few_examples = settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@cache
def _engine(name: str) -> Engine:
    settings = ENGINES[name][0]
    folder = str(EMBEDDED / settings["source"])
    spec = ShardSpec(name="m/cpu", model="m", **{**settings, "source": folder})
    return load_engine(spec, lambda line: None)


def _tokenized(engine: Engine, query: str, document: str) -> TokenizedPair:
    (pair,) = engine.tokenizer.tokenize(query, (document,), instruction="", max_document_tokens=0)
    return pair


def _assert_same(name: str, found: list[float], expected: list[float]) -> None:
    bound = ENGINES[name][1]
    for margin, right in zip(found, expected, strict=True):
        assert abs(margin - right) <= bound * max(1.0, abs(right))


@pytest.mark.parametrize("name", ENGINES)
@few_examples
@given(pairs=st.lists(_PAIRS, min_size=2, max_size=9), order=st.randoms(use_true_random=False))
def test_a_pair_scores_the_same_alone_and_in_any_batch(
    name: str, pairs: list[tuple[str, str]], order: Any
) -> None:
    engine = _engine(name)
    tokenized = [_tokenized(engine, *pair) for pair in pairs]
    alone = [engine.score([pair])[0] for pair in tokenized]
    _assert_same(name, engine.score(tokenized), alone)
    places = list(range(len(tokenized)))
    order.shuffle(places)
    shuffled = engine.score([tokenized[place] for place in places])
    _assert_same(name, shuffled, [alone[place] for place in places])


@pytest.mark.parametrize("name", ENGINES)
@few_examples
@given(pair=_PAIRS)
def test_twice_is_the_same_to_the_last_bit(name: str, pair: tuple[str, str]) -> None:
    engine = _engine(name)
    tokenized = _tokenized(engine, *pair)
    assert engine.score([tokenized]) == engine.score([tokenized])


@pytest.mark.parametrize("name", ENGINES)
@few_examples
@given(query=_TEXTS.filter(bool), parts=st.lists(_TEXTS, min_size=2, max_size=6))
def test_a_passage_has_the_score_of_its_text_alone(name: str, query: str, parts: list[str]) -> None:
    engine, text = _engine(name), ". ".join(parts)
    score = Score(
        1, 0, 0, "", (query,), (text,), in_passages=True, passage_tokens=32, passage_overlap=8
    )
    ((document,),) = tokenized_slices(engine.tokenizer, score)
    together = engine.score(document.pairs)
    passages = [text[start:end] for start, end in document.spans]
    alone = [engine.score([_tokenized(engine, query, passage)])[0] for passage in passages]
    _assert_same(name, together, alone)
