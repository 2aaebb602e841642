"""Arbitrary bytes through every dialect: a valid reply, or an error that names a field."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects import PATHS, Limits, MediaType, decode_request, encode, field_names
from gateway.domain.errors import GatewayError, InvalidRequest
from gateway.domain.request import RerankRequest, RerankResult, Scored
from gateway.serving.scatter_gather import rank

LIMITS = Limits(documents=3, document_bytes=20, query_bytes=10)
SERVED = {(path.dialect.name, path.is_shared): path for path in PATHS.values()}.values()
"""One path of each kind."""

names = st.sampled_from(
    [
        "query", "documents", "texts", "pairs", "model", "top_n", "top_k", "return_documents",
        "rank_fields", "instruction", "raw_scores", "max_tokens_per_doc", "truncation", "other",
        "input", "passages", "text_1", "text_2", "queries", "items", "truncate", "softmax",
        "truncation_direction", "chat_template_kwargs", "return_text", "return_input", "docs",
        "records", "inputs", "property", "topN", "parameters", "ignoreRecordDetailsInResponse",
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
            st.sampled_from(
                [
                    "text",
                    "query",
                    "passage",
                    "content",
                    "instruction",
                    "x",
                    "documents",
                    "text_pair",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
bodies = st.dictionaries(names, values) | st.lists(values)


def served(raw: bytes, form: MediaType) -> None:
    """Serve bytes in every dialect; the result is a valid reply or a `GatewayError`."""
    for path in SERVED:
        try:
            decoded = decode_request(raw, form, path)
        except GatewayError as error:
            assert isinstance(error, InvalidRequest)
            field_names(raw, form)
            continue
        dialect = decoded.dialect
        try:
            request = decoded.parse(LIMITS)
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
        for reply_form in MediaType:
            encode(dialect.render(request, result), reply_form)


def check(request: RerankRequest) -> None:
    """Assert the properties that the shards rely on."""
    assert 1 <= len(request.documents) <= LIMITS.documents
    assert len(request.queries) in {1, len(request.documents)}
    for text in (*request.queries, request.instruction or "x"):
        assert text.strip()
        assert len(text.encode()) <= LIMITS.query_bytes
    for document in request.documents:
        assert len(document.text.encode()) <= LIMITS.document_bytes
    assert request.top_n is None or 1 <= request.top_n < 2**31
    assert request.max_tokens_per_doc is None or 1 <= request.max_tokens_per_doc < 2**31


@settings(deadline=None)  # a loaded machine pauses any process
@given(raw=st.binary(max_size=200), form=st.sampled_from(MediaType))
def test_any_bytes(raw: bytes, form: MediaType) -> None:
    served(raw, form)


@settings(deadline=None)  # a loaded machine pauses any process
@given(body=bodies)
def test_any_json(body: object) -> None:
    served(msgspec.json.encode(body), MediaType.JSON)


@settings(deadline=None)  # a loaded machine pauses any process
@given(name=names, value=values)
def test_any_value_in_a_valid_body(name: str, value: object) -> None:
    for documents in ("documents", "texts", "input", "passages", "queries", "docs"):
        served(msgspec.json.encode({"query": "q", documents: ["a"], name: value}), MediaType.JSON)
    for body in (
        {"input": {"query": "q", "documents": ["a"], name: value}, "parameters": {name: value}},
        {"query": "q", "records": [{"id": "1", "title": "a"}], name: value},
        {"query": "q", "records": [{"content": "a", name: value}]},
        {"inputs": [["q", "a"], {"text": "q", "text_pair": "b"}], name: value},
        {"query": "q", "documents": [{"x": "a", name: value}]},
    ):
        served(msgspec.json.encode(body), MediaType.JSON)


@settings(deadline=None)  # a loaded machine pauses any process
@given(body=bodies)
def test_any_messagepack(body: object) -> None:
    try:
        raw = msgspec.msgpack.encode(body)
    except OverflowError:  # integers beyond 64 bits
        return
    served(raw, MediaType.MSGPACK)


@settings(deadline=None)  # a loaded machine pauses any process
@given(raw=st.binary(max_size=50), at=st.integers(0, 60), form=st.sampled_from(MediaType))
def test_any_damage_to_a_valid_body(raw: bytes, at: int, form: MediaType) -> None:
    body = {"query": "q", "documents": [{"text": "a", "x": [1, None]}, "b"], "top_n": 1}
    write = msgspec.json.encode if form is MediaType.JSON else msgspec.msgpack.encode
    valid = write(body)
    served(valid[:at] + raw + valid[at + len(raw) :], form)
