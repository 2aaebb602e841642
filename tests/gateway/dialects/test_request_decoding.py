"""Bodies in the dialect of their path: types that pydantic accepts, and fields without effect."""

import time
from typing import Any, get_args

import msgspec
import pytest

from gateway.dialects import (
    DIALECTS,
    PATHS,
    Dialect,
    Limits,
    MediaType,
    RerankBody,
    decode_request,
    match_path,
)
from gateway.dialects.request_body import BOOLEAN_FIELDS, INTEGER_FIELDS
from gateway.domain.errors import InvalidRequest, MalformedBody
from gateway.domain.request import RerankRequest

WRITE = {MediaType.JSON: msgspec.json.encode, MediaType.MSGPACK: msgspec.msgpack.encode}
BODY = {"query": "q", "documents": ["a", "b"]}


def parse(path: str, media_type: MediaType = MediaType.JSON, **fields: Any) -> RerankRequest:
    """Return the request of a body that is sent to a path."""
    served = match_path(path)
    assert served is not None
    raw = WRITE[media_type](BODY | fields)
    return decode_request(raw, media_type, served).parse(Limits())


def test_the_lists_of_numbers_and_booleans_are_complete() -> None:
    types = {name: set(get_args(kind)) for name, kind in _annotations().items()}
    assert {name for name, kinds in types.items() if int in kinds} == set(INTEGER_FIELDS)
    assert {name for name, kinds in types.items() if bool in kinds} == set(BOOLEAN_FIELDS)


def _annotations() -> dict[str, Any]:
    return {name: get_args(kind)[0] for name, kind in RerankBody.__annotations__.items() if name[0]}


@pytest.mark.parametrize("media_type", MediaType)
@pytest.mark.parametrize("value", ["2", 2.0, "2.0", " 2 ", 2], ids=repr)
def test_integers_of_pydantic_servers(media_type: MediaType, value: object) -> None:
    assert parse("/v1/rerank", media_type, top_n=value).top_n == 2
    assert parse("/v1/rerank", media_type, top_n=True).top_n == 1
    request = parse("/v2/rerank", media_type, max_tokens_per_doc=value, max_chunks_per_doc=value)
    assert (request.max_tokens_per_doc, request.most_passages) == (2, 2)
    assert request.warnings == ()


@pytest.mark.parametrize("media_type", MediaType)
@pytest.mark.parametrize(
    ("value", "flag"), [(1, True), (0, False), (1.0, True), ("yes", True), ("off", False)]
)
def test_booleans_of_pydantic_servers(media_type: MediaType, value: object, flag: bool) -> None:
    request = parse("/v1/rerank", media_type, return_documents=value, use_activation=value)
    assert (request.return_documents, request.raw_scores) == (flag, not flag)
    assert parse("/v1/rerank", media_type, truncation=value).may_cut is flag
    assert parse("/v1/rerank", media_type, truncate=value).may_cut is flag


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"top_n": "two"}, "top_n: expected an integer, got a string"),
        ({"top_n": 1.5}, "top_n: expected an integer, got a number with a fraction"),
        ({"top_n": []}, "top_n: expected an integer, got a list"),
        ({"top_n": "-1"}, "top_n is negative"),
        ({"return_documents": 2}, "return_documents: expected true or false or a string"),
        ({"return_documents": "maybe"}, "return_documents: expected true or false"),
        ({"return_documents": []}, "return_documents: expected true or false or a string"),
        ({"truncation": "maybe"}, "truncation is 'maybe': use one of true, false"),
        ({"documents": 7, "user": "u"}, "documents: expected"),
    ],
)
def test_values_that_mean_no_number_or_boolean(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse("/v1/rerank", **fields)
    assert caught.value.message.startswith(message)
    assert caught.value.param == next(iter(fields))


@pytest.mark.parametrize("media_type", MediaType)
def test_fields_of_other_apis_may_have_any_type(media_type: MediaType) -> None:
    request = parse("/v1/rerank", media_type, items={"x": 1}, pairs=7, return_text=[1], top_n=1)
    assert request.top_n == 1
    assert request.warnings == ("fields without effect: 'items', 'pairs', 'return_text'",)
    with pytest.raises(InvalidRequest, match="text_1"):
        parse("/score", media_type, text_1=7, text_2="b")


@pytest.mark.parametrize("media_type", MediaType)
def test_fields_without_effect_are_named(media_type: MediaType) -> None:
    request = parse("/v1/rerank", media_type, user="me", texts=["a"], seed=7, top_n=1)
    assert request.warnings == ("fields without effect: 'user', 'texts', 'seed'",)
    request = parse("/v1/rerank", media_type, texts=["a"], return_input=True)
    assert request.warnings == ("fields without effect: 'return_input', 'texts'",)
    request = parse("/llamacpp/rerank", media_type, return_documents=True)
    assert request.warnings == ("fields without effect: 'return_documents'",)


@pytest.mark.parametrize("media_type", MediaType)
@pytest.mark.parametrize("value", [None, False, 0, "", [], {}])
def test_fields_that_request_nothing_are_not_named(media_type: MediaType, value: object) -> None:
    assert parse("/v1/rerank", media_type, user=value, priority=value).warnings == ()
    assert parse("/infinity/rerank", media_type, return_text=value).warnings == ()


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_no_field_of_an_example_is_without_effect(dialect: Dialect) -> None:
    path = next((path for path, served in PATHS.items() if served.dialect is dialect), "/rerank")
    served = match_path(path)
    assert served is not None
    decoded = decode_request(msgspec.json.encode(dialect.contract.example), MediaType.JSON, served)
    assert decoded.dialect is dialect
    assert decoded.parse(Limits()).warnings == ()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("topn", "top_n"),
        ("top-n", "top_n"),
        ("TopN", "top_n"),
        ("returnDocuments", "return_documents"),
        ("retun_documents", "return_documents"),
        ("instructions", "instruction"),
        ("raw_score", "raw_scores"),
    ],
)
def test_a_near_field_is_suggested(name: str, meant: str) -> None:
    fields: Any = {name: 1}
    request = parse("/v1/rerank", **fields)
    assert request.warnings == (f"fields without effect: '{name}' (did you mean {meant}?)",)
    if meant != "instruction":
        assert parse("/v1/rerank", **(fields | {meant: 1})).warnings[0].endswith(f"'{name}'")


@pytest.mark.parametrize("name", ["seed", "stream", "encoding_format", "dimensions", "x", "user"])
def test_a_field_like_no_other_has_no_suggestion(name: str) -> None:
    fields: Any = {name: 1}
    assert parse("/v1/rerank", **fields).warnings == (f"fields without effect: '{name}'",)


@pytest.mark.parametrize(
    ("path", "name", "meant"),
    [
        ("/v1/rerank", "docs", "documents"),
        ("/v1/rerank", "document", "documents"),
        ("/v1/rerank", "passages", "documents"),
        ("/tei/rerank", "documents", "texts"),
        ("/v1/ranking", "documents", "passages"),
        ("/mixedbread/reranking", "inputs", "input"),
    ],
)
def test_a_missing_field_under_another_name_is_suggested(path: str, name: str, meant: str) -> None:
    served = match_path(path)
    assert served is not None
    raw = msgspec.json.encode({"query": "q", name: ["a"]})
    with pytest.raises(InvalidRequest) as caught:
        decode_request(raw, MediaType.JSON, served).parse(Limits())
    assert caught.value.param == meant
    assert caught.value.message.endswith(f"'{name}' was sent: did you mean {meant}?")


def test_an_empty_object_in_a_string_requests_nothing() -> None:
    """Xinference's client sends it with every request."""
    assert parse("/v1/rerank", kwargs="{}").warnings == ()
    assert parse("/v1/rerank", kwargs='{"a": 1}').warnings == ("fields without effect: 'kwargs'",)


def test_names_in_a_warning_are_few_short_and_escaped() -> None:
    fields: Any = {f"f{number:02}": 1 for number in range(15)}
    (warning,) = parse("/v1/rerank", **fields).warnings
    assert warning.endswith("'f09' and 5 more")
    fields = {"x\r\ny: я": 1, "z" * 500: 1}
    (warning,) = parse("/v1/rerank", **fields).warnings
    assert warning == f"fields without effect: 'x\\r\\ny: \\u044f', '{'z' * 40}'"


def test_a_malformed_body_stays_malformed() -> None:
    served = match_path("/v1/rerank")
    assert served is not None
    for raw in (b"", b'{"query": "q", "documents": ["a"], "x": NaN}'):
        with pytest.raises(MalformedBody):
            decode_request(raw, MediaType.JSON, served)


def test_a_list_that_holds_no_pairs_is_an_error() -> None:
    served = match_path("/rerank")
    assert served is not None
    with pytest.raises(InvalidRequest, match=r"pairs\[0\]"):
        decode_request(b"[1]", MediaType.JSON, served)


def test_large_integers_of_any_spelling_mean_all() -> None:
    for value in (10**30, "1" + "0" * 30, 1e15):
        assert parse("/v1/rerank", top_n=value).top_n == 2**31 - 1


def test_a_body_of_very_many_names_is_read_in_no_time() -> None:
    fields: Any = {f"documen{number}": 1 for number in range(100_000)}
    served = match_path("/v1/rerank")
    assert served is not None
    raw = msgspec.json.encode({"query": "q"} | fields)
    started = time.process_time()
    with pytest.raises(InvalidRequest, match="documents is missing"):
        decode_request(raw, MediaType.JSON, served).parse(Limits())
    assert parse("/v1/rerank", **fields).warnings[0].endswith("and 99990 more")
    assert time.process_time() - started < 5  # hints for all names would take a minute
