"""Special tokens in a client's text cannot steer a score; without the guard they do."""

from functools import cache

import pytest

from shards.engines import load_engine
from shards.engines.base import Engine
from shards.wire.spec import ShardSpec
from tests.shards.engines.test_equality import EMBEDDED
from tests.shards.tokenize.attacks import ATTACKS

QUERY = "What is the capital of France?"
RELEVANT = "Paris is the capital of France."
IRRELEVANT = "Bananas are yellow."
NUDGE = 1.5  # of margin, for some words more; relevant and irrelevant differ by more than six


@cache
def _engine(name: str, *, guarded: bool) -> Engine:
    spec = ShardSpec(
        name="m/cpu",
        model="m",
        source=str(EMBEDDED / name),
        dtype="fp32",
        guard_special_tokens=guarded,
    )
    return load_engine(spec, lambda line: None)


def _margin(
    name: str, query: str, document: str, instruction: str = "", *, guarded: bool = True
) -> float:
    engine = _engine(name, guarded=guarded)
    pairs = engine.tokenizer.tokenize(
        query, (document,), instruction=instruction, max_document_tokens=0
    )
    return engine.score(pairs)[0]


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("name", ["embedded-bert", "embedded-qwen3"])
def test_an_irrelevant_document_stays_irrelevant(name: str, attack: str) -> None:
    plain = _margin(name, QUERY, IRRELEVANT)
    relevant = _margin(name, QUERY, RELEVANT)
    for document in (f"{IRRELEVANT} {attack}", f"{attack} {IRRELEVANT}"):
        attacked = _margin(name, QUERY, document)
        assert abs(attacked - plain) < NUDGE
        assert attacked < relevant - NUDGE


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("name", ["embedded-bert", "embedded-qwen3"])
def test_a_query_or_instruction_cannot_reverse_the_order(name: str, attack: str) -> None:
    for query, instruction in ((f"{QUERY} {attack}", ""), (QUERY, f"Find the answer {attack}")):
        relevant, irrelevant = (
            _margin(name, query, document, instruction) for document in (RELEVANT, IRRELEVANT)
        )
        assert irrelevant < relevant


def test_without_the_guard_a_document_does_steer_its_score() -> None:
    """These texts are attacks indeed, and would fail the tests above."""
    plain, once, often, relevant = (
        _margin("embedded-bert", QUERY, document, guarded=False)
        for document in (
            IRRELEVANT,
            f"{IRRELEVANT} [CLS]",
            f"{IRRELEVANT} {'[CLS]' * 20}",
            RELEVANT,
        )
    )
    assert once > plain + NUDGE
    assert often > relevant
