"""A shard over a real pipe, and documents of many batches: one answer each, no job starves."""

from typing import Any

import pytest

from shards.engines.fake import margin
from shards.wire.messages import Cancel, Failed, Scores
from tests.shards.in_process import Client, FaultyEngine, margins

_LONG = " ".join(f"word{number}" for number in range(1000))


def test_a_long_document_has_the_margin_and_the_span_of_its_best_passage(
    engine: FaultyEngine, client: Client
) -> None:
    client.score(1, ["short", _LONG], in_passages=True, passage_tokens=50, passage_overlap=5)
    answer = client.answers(1)[1]
    assert isinstance(answer, Scores)
    assert answer.passages[0] == 1
    assert answer.passages[1] > 1000 / 50
    assert answer.truncated == ()
    start, end = answer.starts[1], answer.ends[1]
    assert answer.margins == (margin("q", "short"), margin("q", _LONG[start:end]))
    assert (answer.starts[0], answer.ends[0]) == (0, len("short"))
    assert max(engine.batches) > 1


def test_documents_may_be_pooled_otherwise(client: Client) -> None:
    limits: Any = {"in_passages": True, "passage_tokens": 50, "most_passages": 3}
    client.score(1, [_LONG], pool_best=0, **limits)
    client.score(2, [_LONG], pool_best=1, **limits)
    answers = client.answers(2)
    mean, best = answers[1], answers[2]
    assert isinstance(mean, Scores)
    assert isinstance(best, Scores)
    passages = [" ".join(_LONG.split()[at : at + 50]) for at in (0, 50, 100)]
    each = margins(passages)
    assert mean.margins == pytest.approx((sum(each) / 3,))
    assert best.margins == (max(each),)
    assert (mean.passages, mean.truncated) == ((3,), (0,))


def test_a_passage_that_cannot_be_scored_is_reported_as_its_document(client: Client) -> None:
    words = " ".join(["word"] * 16)
    documents = ["short", f"{words} raise", words]
    client.score(1, documents, in_passages=True, passage_tokens=16)
    client.score(2, [documents[2], f"{words} nan"], in_passages=True, passage_tokens=16)
    answers = client.answers(2)
    assert answers[1] == Failed(1, "engine_error", "RuntimeError", document=1)
    assert answers[2] == Failed(2, "invalid_score", "nan", document=1)


def test_a_small_job_has_its_turn_between_the_portions_of_a_large_one(
    engine: FaultyEngine, client: Client
) -> None:
    engine.gate.clear()
    client.score(1, [_LONG] * 20, in_passages=True, passage_tokens=16)
    assert engine.busy.wait(120)
    client.score(2, ["small"])
    client.until_tokenized(2)
    engine.gate.set()
    assert list(client.answers(2)) == [2, 1]


def test_a_large_job_that_is_cancelled_is_not_scored_further(
    engine: FaultyEngine, client: Client
) -> None:
    engine.gate.clear()
    client.score(1, [_LONG] * 20, in_passages=True, passage_tokens=16)
    assert engine.busy.wait(120)
    client.pipe.send(Cancel(1))
    client.score(2, ["small"])
    client.until_tokenized(2)
    engine.gate.set()
    answers = client.answers(2)
    assert answers[1] == Failed(1, "cancelled", "the client left", computed_tokens=200)
    assert len(engine.batches) == 2
