"""Bytes that nobody expected, through every dialect: a good reply, or an error that names a field."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import PATHS, Form, Limits, decode, dialect_of, encode, sent_keys
from gateway.domain import RerankRequest, RerankResult, Scored, rank
from gateway.errors import GatewayError, InvalidRequest

LIMITS = Limits(documents=3, document_bytes=20, query_bytes=10)

names = st.sampled_from(
    [
        "query", "documents", "texts", "pairs", "model", "top_n", "top_k", "return_documents",
        "rank_fields", "instruction", "raw_scores", "max_tokens_per_doc", "truncation", "other",
        "input", "passages", "text_1", "text_2", "queries", "items", "truncate", "softmax",
        "truncation_direction", "chat_template_kwargs", "return_text", "return_input",
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
        | st.dictionaries(
            st.sampled_from(["text", "query", "passage", "content", "instruction", "x"]),
            inner,
            max_size=4,
        )
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
        result = RerankResult(
            id="rerank-1",
            model="demo",
            scored=scored,
            top=rank(scored, request.top_n),
            processing_seconds=0.0,
            created=0,
        )
        for form_of_reply in Form:
            encode(dialect.render(request, result), form_of_reply)


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
    for documents in ("documents", "texts", "input", "passages", "queries"):
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
