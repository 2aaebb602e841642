"""From bytes to requests: the rules that golden files do not show, and bytes that nobody expected."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import (
    DEFAULT,
    PATHS,
    Dialect,
    Form,
    Limits,
    decode,
    dialect_of,
    encode,
    sent_keys,
)
from gateway.dialects.jina import JINA
from gateway.dialects.native import NATIVE, PAIRS
from gateway.dialects.tei import TEI
from gateway.domain import Document, RerankRequest, RerankResult, Scored, rank
from gateway.errors import EngineFailed, GatewayError, InvalidRequest, MalformedBody

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
    assert parse(path, texts=["a"], **{name: "find it"}).instruction == "find it"


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
        ("/elsewhere", set(), DEFAULT),
    ],
)
def test_dialect_of(path: str, keys: set[str], dialect: Dialect) -> None:
    assert dialect_of(path, frozenset(keys)) is dialect


def test_names_of_dialects_differ() -> None:
    dialects = {*PATHS.values(), PAIRS}
    assert len({dialect.name for dialect in dialects}) == len(dialects)


def test_keys_of_a_refused_body() -> None:
    assert sent_keys(b'{"texts": 7, "query": "q"}', Form.JSON) == {"texts", "query"}
    assert sent_keys(msgspec.msgpack.encode({"texts": 7}), Form.MSGPACK) == {"texts"}
    for raw in (b"", b"[]", b"\xff", b"{" * 10, b'{"x":' * 100_000):
        assert sent_keys(raw, Form.JSON) == frozenset()


@pytest.mark.parametrize("margin", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dialect", [NATIVE, JINA, TEI, PAIRS])
@pytest.mark.parametrize("raw_scores", [True, False])
def test_no_reply_without_a_finite_score(dialect: Dialect, margin: float, raw_scores: bool) -> None:
    request = RerankRequest(queries=("q",), documents=(Document("a"),), raw_scores=raw_scores)
    with pytest.raises(EngineFailed, match="document 0"):
        dialect.render(request, result_of((Scored(0, margin, 1, truncated=False),)))


def test_warnings_are_told() -> None:
    request = RerankRequest(queries=("q",), documents=(Document("a"),))
    reply: Any = JINA.render(request, result_of((Scored(0, 0.0, 1, truncated=True),), "cut"))
    assert reply["meta"]["warnings"] == ["cut"]


def test_search_units_are_hundreds_of_documents() -> None:
    request = RerankRequest(queries=("q",), documents=(Document("a"),) * 101)
    scored = tuple(Scored(i, 0.0, 3, truncated=False) for i in range(101))
    reply: Any = JINA.render(request, result_of(scored))
    assert reply["meta"]["billed_units"] == {"search_units": 2}
    assert reply["usage"]["total_tokens"] == 303


def test_document_whose_text_is_no_string_comes_back_with_one() -> None:
    fields = {"text": None, "title": "t"}
    document = Document("t", fields)
    request = RerankRequest(queries=("q",), documents=(document,), return_documents=True)
    reply: Any = JINA.render(request, result_of((Scored(0, 0.0, 1, truncated=False),)))
    assert reply["results"][0]["document"] == {"text": "t", "title": "t"}


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


# -- anything at all -----------------------------------------------------------------------------

names = st.sampled_from(
    [
        "query", "documents", "texts", "pairs", "model", "top_n", "top_k", "return_documents",
        "rank_fields", "instruction", "raw_scores", "max_tokens_per_doc", "truncation", "other",
    ]
)  # fmt: skip
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.just("q")
    | st.binary(max_size=5)
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.sampled_from(["text", "query", "passage", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)
bodies = st.dictionaries(names, values) | st.lists(values)


def served(raw: bytes, form: Form) -> None:
    """Take bytes through every dialect; only a `GatewayError` may come of it, or a good reply."""
    try:
        body = decode(raw, form)
    except GatewayError as error:
        assert isinstance(error, InvalidRequest)
        sent_keys(raw, form)
        return
    for path in PATHS:
        dialect = dialect_of(path, body.keys)
        try:
            request = dialect.parse(body, LIMITS)
        except InvalidRequest as error:
            assert error.param
            encode(dialect.render_error(error, "id"), form)
            continue
        check(request)
        scored = tuple(Scored(i, -1.0, 1, truncated=False) for i in range(len(request.documents)))
        encode(dialect.render(request, result_of(scored)), Form.JSON)
        encode(dialect.render(request, result_of(scored)), Form.MSGPACK)


def check(request: RerankRequest) -> None:
    """Assert what the shards rely on."""
    assert 1 <= len(request.documents) <= LIMITS.documents
    assert len(request.queries) in {1, len(request.documents)}
    for text in (*request.queries, request.instruction or "x"):
        assert text.strip()
        assert len(text.encode()) <= LIMITS.query_bytes
    for document in request.documents:
        assert len(document.text.encode()) <= LIMITS.document_bytes
    assert request.top_n is None or 1 <= request.top_n < 2**31
    assert request.max_tokens_per_doc is None or 1 <= request.max_tokens_per_doc < 2**31


@given(raw=st.binary(max_size=200), form=st.sampled_from(Form))
def test_any_bytes(raw: bytes, form: Form) -> None:
    served(raw, form)


@given(body=bodies)
def test_any_json(body: object) -> None:
    served(msgspec.json.encode(body), Form.JSON)


@given(name=names, value=values)
def test_any_value_in_a_good_body(name: str, value: object) -> None:
    for documents in ("documents", "texts"):
        served(msgspec.json.encode({"query": "q", documents: ["a"], name: value}), Form.JSON)


@given(body=bodies)
def test_any_messagepack(body: object) -> None:
    try:
        raw = msgspec.msgpack.encode(body)
    except OverflowError:  # integers that MessagePack has not
        return
    served(raw, Form.MSGPACK)


@given(raw=st.binary(max_size=50), at=st.integers(0, 60), form=st.sampled_from(Form))
def test_any_damage_to_a_good_body(raw: bytes, at: int, form: Form) -> None:
    body = {"query": "q", "documents": [{"text": "a", "x": [1, None]}, "b"], "top_n": 1}
    write = msgspec.json.encode if form is Form.JSON else msgspec.msgpack.encode
    good = write(body)
    served(good[:at] + raw + good[at + len(raw) :], form)


def test_malformed_is_an_invalid_request_of_its_own_code() -> None:
    with pytest.raises(MalformedBody):
        decode(b"{", Form.JSON)
