"""The model `embedded`: real weights in codes of 4 bits, served as the bi-encoder that it is."""

from pathlib import Path

import pytest

from shards.engines import load_engine
from shards.engines.base import Engine
from shards.engines.encoder.embedder import EmbedderEngine
from shards.tools.verify.similarity import SimilarityReference
from shards.worker.canary_check import CanaryCheck
from tests.shards.checkpoint.specs import spec_of

_ROOT = Path(__file__).parents[4]
_FOLDER = _ROOT / "shards" / "models" / "embedded"
_QUESTIONS = {
    "which is the capital of France?": ("Paris is the capital.", "Soup is hot.", "A red bicycle."),
    "какая столица Франции?": ("Париж — столица Франции.", "Борщ варят из свёклы.", "Кот спит."),
    "Wie lange kocht ein Ei?": ("Sieben Minuten in heißem Wasser.", "Der Himmel ist blau.", "Ja."),
    "法国的首都是哪里？": ("法国的首都是巴黎。", "香蕉是黄色的水果。", "猫在睡觉。"),
}


@pytest.fixture(scope="module")
def engine() -> EmbedderEngine:
    found = load_engine(spec_of(_FOLDER), lambda line: None)
    assert isinstance(found, EmbedderEngine)
    return found


def _margins(engine: Engine, query: str, *documents: str) -> list[float]:
    pairs = engine.tokenizer.tokenize(query, documents, instruction="", max_document_tokens=0)
    return engine.score(pairs)


def test_it_is_served_without_a_setting_and_passes_its_canaries(engine: EmbedderEngine) -> None:
    assert (engine.facts.engine, engine.facts.packed) == ("embedder", True)
    assert not engine.facts.demonstration
    assert not engine.facts.warnings
    assert engine.facts.languages == ("en", "ru")
    assert "margin: 60 * (cosine - 0.8)" in engine.facts.notes
    said, notes = CanaryCheck(engine, spec_of(_FOLDER)).after_load(lambda line: None)
    assert not said.findings
    assert not notes
    assert said.spread[0] > 3


def test_the_right_document_is_first_in_several_languages(engine: EmbedderEngine) -> None:
    for query, (right, *others) in _QUESTIONS.items():
        margins = _margins(engine, query, right, *others)
        assert margins[0] == max(margins), query
        assert margins[0] > 0 > min(margins), query


def test_its_margins_are_those_of_another_reading_of_its_files(engine: EmbedderEngine) -> None:
    reference = SimilarityReference(_FOLDER)
    for query, documents in _QUESTIONS.items():
        theirs = reference.margins(query, documents, lambda done: None)
        assert _margins(engine, query, *documents) == pytest.approx(theirs, abs=2e-3)


def test_it_is_small_enough_to_ship() -> None:
    size = sum(path.stat().st_size for path in _FOLDER.rglob("*") if path.is_file())
    assert size < 26_000_000
