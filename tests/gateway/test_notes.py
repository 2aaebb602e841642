"""What a client is told beside its scores."""

from dataclasses import replace
from typing import Any

from gateway.config import CalibrationEntry, ModelSpec
from gateway.domain import Document, LongDocuments, RerankRequest, Scored
from gateway.notes import notes as _notes
from gateway.notes import ties
from shards.wire.messages import Ready
from shards.wire.spec import ShardSpec

_SHARD = ShardSpec(name="m/cpu:0", model="m", source="fake")


def _spec(policy: LongDocuments | None = None, *, alone: bool = True) -> ModelSpec:
    return ModelSpec(
        name="m",
        aliases=("old",),
        default=True,
        source="fake",
        shards=(_SHARD,),
        long_documents=policy or LongDocuments(),
        alone=alone,
    )


def _facts(*doubts: str) -> Ready:
    return Ready(
        "fake", "cpu", "fp32", 1, 512, 4096, "sigmoid", False, False, doubts, doubts=doubts
    )


def _request(texts: str = "ab", **fields: Any) -> RerankRequest:
    return RerankRequest(queries=("q",), documents=tuple(map(Document, texts)), **fields)


def notes(
    request: RerankRequest, scored: list[Scored], spec: ModelSpec, facts: Ready | None
) -> tuple[str, ...]:
    return _notes(request, scored, spec, facts, ties(request, scored))


def _scored(*margins: float, truncated: int = 0) -> list[Scored]:
    return [Scored(at, margin, 9, at < truncated) for at, margin in enumerate(margins)]


def test_a_plain_reply_has_none() -> None:
    assert notes(_request(), _scored(1, 2), _spec(), _facts()) == ()
    assert notes(_request(model="m"), _scored(1, 2), _spec(alone=False), None) == ()


def test_the_default_model_is_told_where_there_is_a_choice() -> None:
    (note,) = notes(_request(), _scored(1, 2), _spec(alone=False), _facts())
    assert note == "no model was named: the default one, 'm', scored"


def test_an_alias_is_told() -> None:
    (note,) = notes(_request(model="old"), _scored(1, 2), _spec(), _facts())
    assert note == "'old' is an alias here: 'm' scored"


def test_truncated_documents_are_counted_with_the_limit() -> None:
    cut = _scored(1, 2, truncated=1)
    (note,) = notes(_request(), cut, _spec(), _facts())
    assert note == "1 of 2 documents were truncated (512 tokens a pair)"
    (note,) = notes(_request(max_tokens_per_doc=7), cut, _spec(), _facts())
    assert note == "1 of 2 documents were truncated (max_tokens_per_doc 7)"


def test_passages_that_were_left_out_are_told() -> None:
    cut, model = _scored(1, 2, truncated=2), LongDocuments(policy="passages", most_passages=3)
    (note,) = notes(_request(), cut, _spec(model), _facts())
    assert note == "2 of 2 documents were truncated (3 passages)"
    asked = _request(most_passages=5, max_tokens_per_doc=7)
    (note,) = notes(asked, cut, _spec(model), _facts())
    assert note == "2 of 2 documents were truncated (5 passages and max_tokens_per_doc 7)"


def test_ties_of_unlike_documents_are_told() -> None:
    (note,) = notes(_request("abc"), _scored(1, 2, 1), _spec(), _facts())
    assert note.startswith("2 of 3 documents have the very score of another one")


def test_equal_documents_are_no_ties() -> None:
    assert ties(_request("aab"), _scored(1, 1, 2)) == 0
    assert ties(_request("aaba"), _scored(1, 1, 1, 5)) in {2, 3}
    pairs = RerankRequest(queries=("q", "p"), documents=(Document("a"), Document("a")))
    assert ties(pairs, _scored(1, 1)) == 2


def test_doubts_of_the_shard_are_told() -> None:
    (note,) = notes(_request(), _scored(1, 2), _spec(), _facts("activation is guessed"))
    assert note == "model 'm': activation is guessed"


def test_a_calibration_for_other_weights_is_told() -> None:
    made = CalibrationEntry(
        slope=0.5,
        intercept=0.0,
        made="2026-11-21T12:00:00Z",
        pairs=500,
        relevant=100,
        ece_before=0.2,
        ece_after=0.1,
        weights="old",
    )
    spec = replace(_spec(), calibration=made)
    (note,) = notes(_request(), _scored(1, 2), spec, replace(_facts(), weights="new"))
    assert "calibration of 2026-11-21T12:00:00Z was made for other weights" in note
    assert not notes(_request(), _scored(1, 2), spec, replace(_facts(), weights="old"))
