"""Parsing of bodies into requests: the rules that golden files do not show."""

import json
from typing import Any

import msgspec
import pytest

from gateway.dialects import (
    DIALECTS,
    PATHS,
    Dialect,
    Limits,
    MediaType,
    decode,
    dialect_of,
    field_names,
)
from gateway.dialects.jina import JINA
from gateway.dialects.native import PAIRS
from gateway.domain.errors import EngineFailed, InvalidRequest, MalformedBody
from gateway.domain.request import Document, RerankRequest, RerankResult, Scored
from gateway.serving.scatter_gather import rank

EVERYTHING = {
    "texts": ["a"],
    "input": ["a"],
    "passages": ["a"],
    "text_1": "a",
    "text_2": "a",
    "docs": ["a"],
    "records": [{"content": "a"}],
    "inputs": ["q", "a"],
}
"""Required fields of all dialects."""

LIMITS = Limits(documents=3, document_bytes=20, query_bytes=10)


def parse(path: str, **fields: Any) -> RerankRequest:
    """Parse fields as a JSON body sent to a path."""
    body = decode(
        json.dumps({"query": "q", "documents": ["a", "b"]} | fields).encode(), MediaType.JSON
    )
    return dialect_of(path, body.fields_set).parse(body, LIMITS)


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
        body = decode(raw, MediaType.JSON)
        assert dialect_of("/rerank", body.fields_set).parse(body, LIMITS).instruction == "find it"


def test_pairs_have_instructions_of_their_own() -> None:
    def pairs(*own: dict[str, str], **fields: Any) -> RerankRequest:
        sent = [{"query": "q", "passage": "a"} | fields for fields in own]
        body = decode(json.dumps({"pairs": sent} | fields).encode(), MediaType.JSON)
        return PAIRS.parse(body, LIMITS)

    request = pairs({"instruction": "first"}, {"task": "second"}, {"instruct": " "}, task="all")
    assert [request.instruction_of(index) for index in range(3)] == ["first", "second", "all"]
    assert pairs({}, {"instruction": ""}, task="all").instructions == ()
    assert [pairs({}, {"task": "x"}).instruction_of(index) for index in range(2)] == ["", "x"]
    with pytest.raises(InvalidRequest, match=r"pairs\[1\].task has 11 bytes, the limit is 10"):
        pairs({}, {"task": "x" * 11})
    with pytest.raises(InvalidRequest, match=r"pairs\[0\].instruct: expected a string"):
        decode(b'[{"query": "q", "passage": "a", "instruct": 3}]', MediaType.JSON)


def test_queries_have_instructions_of_their_own() -> None:
    own = {"text": "q", "instruction": "own"}
    request = parse("/score", text_1=["q", own], text_2=["a", "b"], task="all")
    assert [request.instruction_of(index) for index in range(2)] == ["all", "own"]
    assert request.queries_field == "text_1"
    assert parse("/score", queries=[own], items=["a", "b"], task="all").instruction == "own"
    assert parse("/rerank", query=own).instruction == "own"
    assert parse("/rerank", query=own, instruction="all").instruction == "own"
    with pytest.raises(InvalidRequest, match=r"text_2\[1\] has an instruction.* text_1\[1\]"):
        parse("/score", text_1=["q", "q"], text_2=["a", own])
    with pytest.raises(InvalidRequest, match=r"query.task: expected a string"):
        parse("/rerank", query={"text": "q", "task": 3})
    document = {"text": "a", "instruction": "data of the client's"}
    assert parse("/rerank", documents=[document]).instruction is None


def test_blank_instruction_is_none() -> None:
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


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("fields", "pair", "query"),
    [
        ({"truncate_prompt_tokens": 9, "max_tokens_per_query": 3}, 9, 3),
        ({"truncate_prompt_tokens": -1, "max_tokens_per_query": 0}, None, None),
        ({"truncate_prompt_tokens": 0, "max_tokens_per_query": None}, None, None),
    ],
)
def test_limits_of_pairs_and_queries(
    path: str, fields: dict[str, Any], pair: int | None, query: int | None
) -> None:
    request = parse(path, **EVERYTHING, **fields)
    assert (request.max_tokens_per_pair, request.max_tokens_per_query) == (pair, query)


@pytest.mark.parametrize(
    ("name", "value"), [("truncate_prompt_tokens", -2), ("max_tokens_per_query", -1)]
)
def test_negative_limits_are_rejected(name: str, value: int) -> None:
    with pytest.raises(InvalidRequest, match=f"{name} is negative"):
        parse("/v1/rerank", **{name: value})


def test_rank_fields_join_in_their_order() -> None:
    document = {"n": 7, "b": "two", "a": "one", "gone": None, "l": [1, "x"], "text": "not this"}
    request = parse(
        "/v1/rerank", documents=[document], rank_fields=["a", "b", "missing", "gone", "n", "l"]
    )
    assert request.documents == (Document('one\ntwo\n7\n[1,"x"]', document),)


@pytest.mark.parametrize("path", ["/v2/rerank", "/v1/rerank", "/rerank", "/cohere/v1/rerank"])
def test_objects_without_text_are_read_as_yaml(path: str) -> None:
    first, second = {"b": 1, "a": {"c": "x"}}, {"t": "yes", "image": "u"}
    request = parse(path, documents=[first, "plain", second])
    assert request.documents == (
        Document("b: 1\na:\n  c: x\n", first),
        Document("plain"),
        Document("t: 'yes'\nimage: u\n", second),
    )
    assert request.warnings == (
        "documents without text and rank_fields were read as YAML, with all their fields",
    )
    assert parse(path, documents=[{"text": "a", "b": 1}, "c"]).warnings == ()


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/voyage/rerank", {"a": "b"}),
        ("/infinity/rerank", {"a": "b"}),
        ("/v2/rerank", {"image": "https://example.org/a.png"}),
        ("/v2/rerank", {"type": "image_url", "image_url": {"url": "u"}}),
        ("/v2/rerank", {"text": None, "a": "b"}),
        ("/v2/rerank", {}),
    ],
)
def test_other_objects_without_text_are_refused(path: str, document: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="no string in its field text"):
        parse(path, documents=[document])


def test_limits_are_inclusive() -> None:
    request = parse("/v1/rerank", query="я" * 5, documents=["x" * 20, "я" * 10, "日" * 6])
    assert len(request.documents) == 3


def test_a_field_sent_twice_counts_the_last_time() -> None:
    body = decode(b'{"query": "a", "query": "b", "documents": ["x"]}', MediaType.JSON)
    assert JINA.parse(body, LIMITS).queries == ("b",)


def test_nul_is_an_ordinary_character() -> None:
    assert parse("/v1/rerank", query="a\u0000b").queries == ("a\x00b",)


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
        ({"truncate_prompt_tokens": -1}, False, "truncate", False),
        ({"truncate_prompt_tokens": 9, "truncation_side": "left"}, True, "truncate", False),
        ({"truncate_prompt_tokens": 9, "truncation": False}, False, "error", False),
        ({"truncate_prompt_tokens": None}, False, None, False),
    ],
)
@pytest.mark.parametrize("path", PATHS)
def test_truncation(
    path: str, fields: dict[str, Any], keep_end: bool, policy: str | None, may_cut: bool
) -> None:
    request = parse(path, **EVERYTHING, **fields)
    if path.endswith("v1/rerank") and ("/cohere" in path or "/v1/v1" in path) and policy is None:
        policy = "passages"  # the only policy of Cohere's v1
        assert request.most_passages == 10
    else:
        assert request.most_passages == (fields.get("max_chunks_per_doc") or None)
    assert (request.keep_end, request.long_documents) == (keep_end, policy)
    assert request.may_cut is may_cut


@pytest.mark.parametrize("path", PATHS)
def test_every_dialect_takes_return_details(path: str) -> None:
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


def test_document_field_and_text_parts() -> None:
    request = parse("/tei/rerank", texts=["a"], truncate=False)
    assert request.documents_field == "texts"
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert parse("/rerank", documents=[{"content": parts}]).documents[0].text == "one\ntwo"


def test_field_names_of_a_rejected_body() -> None:
    assert field_names(b'{"texts": 7, "query": "q"}', MediaType.JSON) == {"texts", "query"}
    assert field_names(msgspec.msgpack.encode({"texts": 7}), MediaType.MSGPACK) == {"texts"}
    for raw in (b"", b"[]", b"\xff", b"{" * 10, b'{"x":' * 100_000):
        assert field_names(raw, MediaType.JSON) == frozenset()


@pytest.mark.parametrize("margin", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("raw_scores", [True, False])
def test_no_reply_without_a_finite_score(dialect: Dialect, margin: float, raw_scores: bool) -> None:
    request = RerankRequest(queries=("q",), documents=(Document("a"),), raw_scores=raw_scores)
    with pytest.raises(EngineFailed, match="document 0"):
        dialect.render(request, result_of((Scored(0, margin, 1, truncated=False),)))


def test_warnings_are_in_the_reply() -> None:
    request = RerankRequest(queries=("q",), documents=(Document("a"),))
    reply = JINA.render(request, result_of((Scored(0, 0.0, 1, truncated=True),), "cut"))
    assert reply.meta.warnings == ("cut",)


def test_search_units_are_hundreds_of_documents() -> None:
    request = RerankRequest(queries=("q",), documents=(Document("a"),) * 101)
    scored = tuple(Scored(i, 0.0, 3, truncated=False) for i in range(101))
    reply = JINA.render(request, result_of(scored))
    assert reply.meta.billed_units.search_units == 2
    assert reply.usage.total_tokens == 303


def test_a_returned_document_always_has_a_text() -> None:
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
        decode(b"{", MediaType.JSON)
