"""From bytes to requests: the rules that golden files do not show, and bytes that nobody expected."""

import json
from typing import Any

import msgspec
import pytest

from gateway.dialects import (
    DIALECTS,
    PATHS,
    Dialect,
    Form,
    Limits,
    decode,
    dialect_of,
    place_of,
    sent_keys,
)
from gateway.dialects.cohere import V2
from gateway.dialects.infinity import INFINITY
from gateway.dialects.jina import JINA
from gateway.dialects.mixedbread import MIXEDBREAD
from gateway.dialects.native import NATIVE, PAIRS
from gateway.dialects.tei import TEI
from gateway.dialects.vllm import VLLM_SCORE
from gateway.dialects.voyage import VOYAGE
from gateway.domain import Document, RerankRequest, RerankResult, Scored, rank
from gateway.errors import EngineFailed, MalformedBody

EVERYTHING = {"texts": ["a"], "input": ["a"], "passages": ["a"], "text_1": "a", "text_2": "a"}
"""What some dialect or other must have."""

LIMITS = Limits(documents=3, document_bytes=20, query_bytes=10)


def parse(path: str, **fields: Any) -> RerankRequest:
    """Parse fields as a JSON body sent to a path."""
    body = decode(json.dumps({"query": "q", "documents": ["a", "b"]} | fields).encode(), Form.JSON)
    return dialect_of(path, body.keys).parse(body, LIMITS)


@pytest.mark.parametrize(
    ("fields", "top_n"),
    [
        ({}, None),
        ({"top_n": None}, None),
        ({"top_n": 0}, None),
        ({"top_n": 1}, 1),
        ({"top_n": 99}, 99),
        ({"top_n": 10**30}, 2**31 - 1),
        ({"top_k": 2}, 2),
        ({"top_n": 1, "top_k": 2}, 1),
        ({"top_n": 0, "top_k": 2}, 2),
        ({"top_n": None, "top_k": 2}, 2),
    ],
)
@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_top_n(path: str, fields: dict[str, Any], top_n: int | None) -> None:
    assert parse(path, **fields).top_n == top_n


@pytest.mark.parametrize("name", ["instruction", "instruct", "task"])
@pytest.mark.parametrize("path", PATHS)
def test_instruction_under_any_name_on_every_dialect(path: str, name: str) -> None:
    assert parse(path, **EVERYTHING, **{name: "find it"}).instruction == "find it"


def test_instruction_for_texts_and_pairs() -> None:
    for documents in ({"texts": ["a"]}, {"pairs": [{"query": "q", "passage": "a"}]}):
        raw = json.dumps({"query": "q", "instruction": "find it"} | documents).encode()
        body = decode(raw, Form.JSON)
        assert dialect_of("/rerank", body.keys).parse(body, LIMITS).instruction == "find it"


def test_instruction_that_says_nothing_is_none() -> None:
    assert parse("/rerank", instruction=None).instruction is None
    assert parse("/rerank", instruction=" ").instruction is None
    assert parse("/rerank", instruction="", task="other").instruction == "other"


@pytest.mark.parametrize(
    ("value", "flag"),
    [(True, True), (False, False), (None, False), ("true", True), ("FALSE", False)],
)
def test_flags(value: object, flag: bool) -> None:
    request = parse("/v1/rerank", return_documents=value, raw_scores=value)
    assert request.return_documents is flag
    assert request.raw_scores is flag


@pytest.mark.parametrize("name", [None, "", "default/not-specified"])
def test_names_of_the_default_model(name: str | None) -> None:
    assert parse("/v1/rerank", model=name).model is None


def test_max_tokens_per_doc() -> None:
    assert parse("/v2/rerank", max_tokens_per_doc=7).max_tokens_per_doc == 7
    assert parse("/v2/rerank", max_tokens_per_doc=0).max_tokens_per_doc is None


def test_rank_fields_join_in_their_order_whatever_the_type() -> None:
    document = {"n": 7, "b": "two", "a": "one", "gone": None, "l": [1, "x"], "text": "not this"}
    request = parse(
        "/v1/rerank", documents=[document], rank_fields=["a", "b", "missing", "gone", "n", "l"]
    )
    assert request.documents == (Document('one\ntwo\n7\n[1,"x"]', document),)


def test_limits_are_inclusive() -> None:
    request = parse("/v1/rerank", query="я" * 5, documents=["x" * 20, "я" * 10, "日" * 6])
    assert len(request.documents) == 3


def test_a_field_sent_twice_counts_the_last_time() -> None:
    body = decode(b'{"query": "a", "query": "b", "documents": ["x"]}', Form.JSON)
    assert JINA.parse(body, LIMITS).queries == ("b",)


def test_nul_is_a_character_like_any_other() -> None:
    assert parse("/v1/rerank", query="a\u0000b").queries == ("a\x00b",)


@pytest.mark.parametrize(
    ("path", "keys", "dialect"),
    [
        ("/rerank", set(), NATIVE),
        ("/rerank", {"texts"}, TEI),
        ("/v2/rerank", {"texts"}, TEI),
        ("/rerank", {"texts", "documents"}, NATIVE),
        ("/rerank", {"pairs"}, PAIRS),
        ("/v1/rerank", {"documents", "top_k"}, JINA),
        ("/tei/rerank", set(), TEI),
        ("/v1/reranking", {"input"}, MIXEDBREAD),
        ("/v1/reranking", {"documents"}, JINA),
        ("/v2/rerank", {"input", "documents"}, V2),
        ("/infinity/rerank", {"texts"}, INFINITY),
        ("/cohere/v2/rerank", {"pairs"}, V2),
        ("/score", {"queries", "items"}, VLLM_SCORE),
        ("/", set(), NATIVE),
        ("/", {"texts"}, TEI),
        ("/models/org/name/rerank", {"texts"}, TEI),
        ("/models/org/name/voyage/rerank", {"texts"}, VOYAGE),
        ("/elsewhere", set(), JINA),
    ],
)
def test_dialect_of(path: str, keys: set[str], dialect: Dialect) -> None:
    assert dialect_of(path, frozenset(keys)) is dialect


def test_names_of_dialects_differ() -> None:
    places = (place.dialect for place in PATHS.values())
    assert len({dialect.name for dialect in (*DIALECTS, *places)}) == len(DIALECTS)
    assert len(set(DIALECTS)) == len(DIALECTS)


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/rerank", None),
        ("/models/a/rerank", "a"),
        ("/models/a/b/v1/rerank", "a/b"),
        ("/models/v1/v1/rerank", "v1"),
        ("/models/rerank/rerank", "rerank"),
        ("/models/a/", "a"),
        ("/models/a/tei/rerank", "a"),
        ("/models/a//rerank", "a/"),
    ],
)
def test_model_in_the_path(path: str, model: str | None) -> None:
    place = place_of(path)
    assert place is not None
    assert place.model == model


@pytest.mark.parametrize(
    "path",
    ["", "/models", "/models/", "/models//", "/models/a", "/models//rerank", "/v1", "rerank"],
)
def test_paths_that_take_no_request(path: str) -> None:
    assert place_of(path) is None


@pytest.mark.parametrize(
    ("fields", "keep_end", "policy", "may_cut"),
    [
        ({}, False, None, False),
        ({"truncation": True}, False, None, True),
        ({"truncation": False}, False, "error", False),
        ({"truncation": "false"}, False, "error", False),
        ({"truncate": True}, False, None, True),
        ({"truncate": "END"}, False, "truncate", False),
        ({"truncate": "START"}, True, "truncate", False),
        ({"truncate": "None"}, False, "error", False),
        ({"truncate": None}, False, None, False),
        ({"truncation_direction": "Left"}, True, None, False),
        ({"truncation_direction": "right"}, False, None, False),
        ({"truncation_side": "left", "truncate": False}, True, "error", False),
        ({"long_documents": "passages"}, False, "passages", False),
        ({"long_documents": "Truncate", "truncation": False}, False, "truncate", False),
        ({"max_chunks_per_doc": 3}, False, "passages", False),
        ({"max_chunks_per_doc": 3, "truncation": True}, False, "passages", True),
        ({"max_chunks_per_doc": 3, "truncate": "START"}, True, "passages", False),
        ({"max_chunks_per_doc": 3, "truncation": False}, False, "error", False),
        ({"max_chunks_per_doc": 3, "long_documents": "error"}, False, "error", False),
        ({"max_chunks_per_doc": 0}, False, None, False),
        ({"max_chunks_per_doc": None}, False, None, False),
    ],
)
@pytest.mark.parametrize("path", PATHS)
def test_truncation(
    path: str, fields: dict[str, Any], keep_end: bool, policy: str | None, may_cut: bool
) -> None:
    request = parse(path, **EVERYTHING, **fields)
    if path.endswith("v1/rerank") and ("/cohere" in path or "/v1/v1" in path) and policy is None:
        policy = "passages"  # of Cohere's v1, which has no other
        assert request.most_passages == 10
    else:
        assert request.most_passages == (fields.get("max_chunks_per_doc") or None)
    assert (request.keep_end, request.long_documents) == (keep_end, policy)
    assert request.may_cut is may_cut


@pytest.mark.parametrize("path", PATHS)
def test_details_may_be_asked_for_anywhere(path: str) -> None:
    assert parse(path, **EVERYTHING, return_details=True).return_details
    assert not parse(path, **EVERYTHING, return_details="false").return_details


@pytest.mark.parametrize(
    ("fields", "raw"),
    [
        ({"raw_scores": True}, True),
        ({"use_activation": False}, True),
        ({"activation": "false"}, True),
        ({"softmax": False}, True),
        ({"use_activation": True, "softmax": None}, False),
    ],
)
@pytest.mark.parametrize("path", PATHS)
def test_raw_scores_under_any_name(path: str, fields: dict[str, Any], raw: bool) -> None:
    assert parse(path, **EVERYTHING, **fields).raw_scores is raw


@pytest.mark.parametrize("name", ["chat_template_kwargs", "mm_processor_kwargs"])
def test_instruction_in_the_extras_of_vllm(name: str) -> None:
    assert parse("/rerank", **{name: {"instruction": "find it", "x": 7}}).instruction == "find it"
    assert parse("/rerank", **{name: {"instruction": " "}}).instruction is None
    assert parse("/rerank", instruct="this", **{name: {"instruction": "x"}}).instruction == "this"


def test_what_a_model_is_told_of_a_document() -> None:
    request = parse("/tei/rerank", texts=["a"], truncate=False)
    assert request.documents_field == "texts"
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert parse("/rerank", documents=[{"content": parts}]).documents[0].text == "one\ntwo"


def test_keys_of_a_refused_body() -> None:
    assert sent_keys(b'{"texts": 7, "query": "q"}', Form.JSON) == {"texts", "query"}
    assert sent_keys(msgspec.msgpack.encode({"texts": 7}), Form.MSGPACK) == {"texts"}
    for raw in (b"", b"[]", b"\xff", b"{" * 10, b'{"x":' * 100_000):
        assert sent_keys(raw, Form.JSON) == frozenset()


@pytest.mark.parametrize("margin", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("raw_scores", [True, False])
def test_no_reply_without_a_finite_score(dialect: Dialect, margin: float, raw_scores: bool) -> None:
    request = RerankRequest(queries=("q",), documents=(Document("a"),), raw_scores=raw_scores)
    with pytest.raises(EngineFailed, match="document 0"):
        dialect.render(request, result_of((Scored(0, margin, 1, truncated=False),)))


def test_warnings_are_told() -> None:
    request = RerankRequest(queries=("q",), documents=(Document("a"),))
    reply = JINA.render(request, result_of((Scored(0, 0.0, 1, truncated=True),), "cut"))
    assert reply.meta.warnings == ("cut",)


def test_search_units_are_hundreds_of_documents() -> None:
    request = RerankRequest(queries=("q",), documents=(Document("a"),) * 101)
    scored = tuple(Scored(i, 0.0, 3, truncated=False) for i in range(101))
    reply = JINA.render(request, result_of(scored))
    assert reply.meta.billed_units.search_units == 2
    assert reply.usage.total_tokens == 303


def test_document_whose_text_is_no_string_comes_back_with_one() -> None:
    fields = {"text": None, "title": "t"}
    document = Document("t", fields)
    request = RerankRequest(queries=("q",), documents=(document,), return_documents=True)
    reply = JINA.render(request, result_of((Scored(0, 0.0, 1, truncated=False),)))
    assert reply.results[0].document == {"text": "t", "title": "t"}


def result_of(scored: tuple[Scored, ...], *warnings: str) -> RerankResult:
    return RerankResult(
        id="rerank-1",
        model="demo",
        scored=scored,
        top=rank(scored, None),
        processing_seconds=0.0,
        created=0,
        warnings=warnings,
    )


def test_malformed_is_an_invalid_request_of_its_own_code() -> None:
    with pytest.raises(MalformedBody):
        decode(b"{", Form.JSON)
