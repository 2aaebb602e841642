"""Every kind of checkpoint has the scores of a reference that reads the folder by another way.

The reference is `shards.tools.verify.reference`, which shares no code with the reading, the
tokenizers or the engines.
"""

import json
from pathlib import Path

import pytest

from shards.engines import load_engine
from shards.engines.base import Engine, afresh
from shards.pairs import TokenizedPair
from shards.tools.verify.reference import Reference
from shards.tools.verify.similarity import SimilarityReference
from tests import checkpoints
from tests.shards.checkpoint.kinds import BI_ENCODERS, SERVED
from tests.shards.checkpoint.specs import spec_of

_PAIRS = (
    ("What is the capital of France?", "The capital of France is Paris."),
    ("Как часто нужно ходить к стоматологу?", "Два раза в год, говорят врачи."),
    ("首都", "中国的首都是北京。"),
    ("a", "b"),
    ("gravity", " ".join(checkpoints.SAMPLES)[:200]),
    ("q ｆｕｌｌ ﬁ", "\n\n led by lines, ends in a space ½ Ⅷ "),
)


@pytest.mark.parametrize("kind", SERVED)
def test_a_kind_scores_as_its_own_files_say(kind: str, tmp_path: Path) -> None:
    folder = SERVED[kind](tmp_path)
    engine = load_engine(spec_of(folder), lambda line: None)
    ours = [_margin(engine, *pair) for pair in _PAIRS]
    reference = Reference(folder)
    theirs = [reference.margins(query, [text], lambda done: None)[0] for query, text in _PAIRS]
    assert ours == pytest.approx(theirs, abs=1e-3)
    assert max(theirs) - min(theirs) > 0.01  # a head of zeros would agree as well
    together = engine.score([_pair(engine, *pair) for pair in _PAIRS])
    assert together == pytest.approx(ours, abs=1e-4)


@pytest.mark.parametrize("kind", BI_ENCODERS)
def test_a_bi_encoder_scores_by_the_cosine_of_its_own_files(kind: str, tmp_path: Path) -> None:
    folder = BI_ENCODERS[kind](tmp_path)
    engine = load_engine(spec_of(folder, scorer="cosine"), lambda line: None)
    ours = [_margin(engine, *pair) for pair in _PAIRS]
    name = str(json.loads((folder / "config.json").read_text()).get("_name_or_path", ""))
    reference = SimilarityReference(folder, name=name)
    theirs = [reference.margins(query, [text], lambda done: None)[0] for query, text in _PAIRS]
    assert ours == pytest.approx(theirs, abs=1e-4)
    assert max(theirs) - min(theirs) > 0.5
    assert all(-20.001 <= margin <= 20.001 for margin in ours)
    together = afresh(engine)([_pair(engine, *pair) for pair in _PAIRS])
    assert together == pytest.approx(ours, abs=1e-4)


def _pair(engine: Engine, query: str, document: str) -> TokenizedPair:
    (pair,) = engine.tokenizer.tokenize(query, (document,), instruction="", max_document_tokens=0)
    return pair


def _margin(engine: Engine, query: str, document: str) -> float:
    return engine.score([_pair(engine, query, document)])[0]
