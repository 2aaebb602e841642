"""Bad input over HTTP: every refusal is a 4xx in the shape of its API, and harms no request."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from gateway.domain import errors
from gateway.domain.errors import GatewayError

JSON = "application/json"
MSGPACK = "application/msgpack"
PATHS = {
    "/rerank": "documents",
    "/v1/rerank": "documents",
    "/v2/rerank": "documents",
    "/tei/rerank": "texts",
}
PARAMS = pytest.mark.parametrize("path", PATHS)
READ: dict[str, Callable[[bytes], Any]] = {
    JSON: msgspec.json.decode,
    MSGPACK: msgspec.msgpack.decode,
}


@dataclass(frozen=True)
class Bad:
    """A bad field: the change of the body, and the field and words that the error must have."""

    name: str
    change: dict[str, Any]
    param: str
    words: tuple[str, ...] = ()


BAD_FIELDS = (
    Bad("no query", {"query": None}, "query", ("missing",)),
    Bad("empty query", {"query": ""}, "query", ("empty",)),
    Bad("blank query", {"query": " \t\u3000\n"}, "query", ("empty",)),
    Bad("number as query", {"query": 7}, "query", ("expected a string", "an integer")),
    Bad("long query", {"query": "я" * 26}, "query", ("52 bytes", "limit is 50")),
    Bad("long instruction", {"instruction": "x" * 51}, "instruction", ("51 bytes", "50")),
    Bad("number as model", {"model": 7}, "model", ("expected a string",)),
    Bad("no documents", {"DOCS": None}, "DOCS", ("missing",)),
    Bad("empty list", {"DOCS": []}, "DOCS", ("empty",)),
    Bad("number as documents", {"DOCS": 7}, "DOCS", ("expected", "a list")),
    Bad("number as document", {"DOCS": ["a", "b", "c", 7]}, "DOCS[3]", ("a string",)),
    Bad("null as document", {"DOCS": ["a", None]}, "DOCS[1]", ("a string",)),
    Bad("list as document", {"DOCS": [["a"]]}, "DOCS[0]", ("a string",)),
    Bad("nested lists", {"DOCS": json.loads("[" * 500 + "]" * 500)}, "DOCS[0]", ("a list",)),
    Bad("too many", {"DOCS": ["a"] * 6}, "DOCS", ("6 documents", "limit is 5")),
    Bad("too large", {"DOCS": ["a", "b" * 101]}, "DOCS[1]", ("101 bytes", "limit is 100")),
    Bad("too large in bytes", {"DOCS": ["я" * 51]}, "DOCS[0]", ("102 bytes",)),
    Bad("negative top_n", {"top_n": -1}, "top_n", ("negative",)),
    Bad("very negative top_n", {"top_n": -(2**63)}, "top_n", ("negative",)),
    Bad("fraction as top_n", {"top_n": 1.5}, "top_n", ("an integer",)),
    Bad("word as top_n", {"top_n": "three"}, "top_n", ("an integer", "a string")),
    Bad("object as top_n", {"top_n": {}}, "top_n", ("an integer", "an object")),
    Bad("negative top_k", {"top_k": -2}, "top_k", ("negative",)),
    Bad("negative tokens", {"max_tokens_per_doc": -2}, "max_tokens_per_doc", ("negative",)),
    Bad("string as bool", {"raw_scores": "maybe"}, "raw_scores", ("true or false",)),
    Bad("list as bool", {"raw_scores": []}, "raw_scores", ("true or false",)),
)

MALFORMED = {
    "no body": b"",
    "not JSON": b"query=a",
    "cut off": b'{"query": "a", "DOCS": ["b"',
    "two values": b'{"query": "a", "DOCS": ["b"]} {}',
    "NaN": b'{"query": "a", "DOCS": ["b"], "top_n": NaN}',
    "Infinity": b'{"query": "a", "DOCS": ["b"], "extra": Infinity}',
    "lone surrogate": b'{"query": "a\\ud800", "DOCS": ["b"]}',
    "encoded surrogate": b'{"query": "a\xed\xa0\x80", "DOCS": ["b"]}',
    "not UTF-8": b'{"query": "a\xff", "DOCS": ["b"]}',
    "overlong UTF-8": b'{"query": "a\xc0\xaf", "DOCS": ["b"]}',
    "control character": b'{"query": "a\x01", "DOCS": ["b"]}',
    "byte order mark": b'\xef\xbb\xbf{"query": "a", "DOCS": ["b"]}',
    "UTF-16": '{"query": "a", "DOCS": ["b"]}'.encode("utf-16"),
    "100,000 nested lists": b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "100,000 open lists": b'{"query": "a", "x": ' + b"[" * 100_000,
    "100,000 nested objects": b'{"x":' * 100_000 + b"1" + b"}" * 100_000,
}

WRONG_SHAPES = {
    "string": b'"query"',
    "number": b"7",
    "null": b"null",
    "list of numbers": b"[1, 2]",
    "list of lists": b"[" * 100_000,
}


def post(client: TestClient, path: str, body: bytes, **headers: str) -> tuple[int, Any]:
    """Send a body as it is; return status and parsed reply. Every reply carries its id."""
    response = client.post(
        path, content=body, headers={"content-type": headers.pop("content_type", JSON), **headers}
    )
    assert response.headers["x-request-id"] == response.headers["request-id"]
    return response.status_code, READ[response.headers["content-type"]](response.content)


def assert_shape(reply: Any, path: str, message: str) -> None:
    """Check the error body that the clients of this path can read."""
    assert reply["message"] == reply["detail"] == message
    if PATHS.get(path) == "texts":
        assert reply.keys() == {"error", "error_type", "message", "detail"}
        assert reply["error"] == message
        assert reply["error_type"] == "Validation"
    else:
        assert reply.keys() == {"id", "message", "detail", "error"}
        assert reply["error"].keys() == {"message", "type", "param", "code"}
        assert reply["error"]["message"] == message
        assert reply["error"]["type"] == "invalid_request_error"


@PARAMS
@pytest.mark.parametrize("form", [JSON, MSGPACK])
@pytest.mark.parametrize("bad", BAD_FIELDS, ids=lambda bad: bad.name)
def test_bad_field(client: TestClient, path: str, bad: Bad, form: str) -> None:
    name = PATHS[path]
    change = {name if key == "DOCS" else key: value for key, value in bad.change.items()}
    sent = {"query": "a", name: ["b", "c"]} | change
    body = json.dumps(sent).encode() if form == JSON else msgspec.msgpack.encode(sent)
    status, reply = post(client, path, body, content_type=form)
    param = bad.param.replace("DOCS", name)
    assert status == 400
    assert_shape(reply, path, reply["message"])
    assert reply["message"].startswith(param)
    for word in bad.words:
        assert word in reply["message"]
    if isinstance(reply["error"], dict):
        assert reply["error"]["param"] == param
        assert reply["error"]["code"] == "invalid_request"


@PARAMS
@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_body(client: TestClient, path: str, name: str) -> None:
    body = MALFORMED[name].replace(b"DOCS", PATHS[path].encode())
    status, reply = post(client, path, body)
    assert status == 400
    assert_shape(reply, path, reply["message"])
    assert reply["message"].startswith("the body is")
    if isinstance(reply["error"], dict):
        assert reply["error"]["code"] == "malformed_body"


@PARAMS
@pytest.mark.parametrize("name", WRONG_SHAPES)
def test_wrong_shape(client: TestClient, path: str, name: str) -> None:
    status, reply = post(client, path, WRONG_SHAPES[name])
    assert status == 400
    assert_shape(reply, path, reply["message"])
    assert "expected an object" in reply["message"]


@pytest.mark.parametrize("digits", ["1" + "0" * 5000, "-1" + "0" * 30, "1e999"])
def test_numbers_out_of_any_range(client: TestClient, digits: str) -> None:
    body = f'{{"query": "a", "documents": ["b"], "top_n": {digits}}}'.encode()
    status, reply = post(client, "/v1/rerank", body)
    assert status == 400
    assert reply["error"]["param"] == "top_n"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "no string in its field text"),
        ({"title": "я" * 50}, "108 bytes, the limit is 100"),
        ({"text": None}, "no string in its field text"),
        ({"text": 7}, "no string in its field text"),
        ({"image": "https://example.org/a.png"}, "no string in its field text"),
        ({"text": "a", "n": 10**30}, "an integer of more than 64 bits"),
        ({"text": "a", "n": json.loads("[" * 40 + "]" * 40)}, "nested deeper than 32 levels"),
        ({"text": "b" * 101}, "101 bytes, the limit is 100"),
    ],
)
def test_bad_object_document(client: TestClient, document: object, words: str) -> None:
    body = json.dumps({"query": "a", "documents": ["x", document]}).encode()
    status, reply = post(client, "/v1/rerank", body)
    assert status == 400
    assert words in reply["message"]
    assert reply["error"]["param"].startswith("documents[1]")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (float("nan"), "not a finite number"),
        (float("-inf"), "not a finite number"),
        (b"bytes", "not a value that JSON has"),
        ({1: 2}, "a key that is not a string"),
        (msgspec.msgpack.Ext(5, b"x"), "not a value that JSON has"),
    ],
)
def test_object_document_that_json_cannot_hold(
    client: TestClient, value: object, words: str
) -> None:
    body = msgspec.msgpack.encode({"query": "a", "documents": [{"text": "a", "extra": value}]})
    status, reply = post(client, "/v1/rerank", body, content_type=MSGPACK)
    assert status == 400
    assert words in reply["message"]
    assert reply["error"]["param"] == "documents[0].extra"


def test_missing_rank_fields(client: TestClient) -> None:
    sent = {"query": "a", "documents": [{"t": "a"}, {"u": "b"}], "rank_fields": ["t"]}
    status, reply = post(client, "/v1/rerank", json.dumps(sent).encode())
    assert status == 400
    assert reply["error"]["param"] == "documents[1]"
    assert reply["message"] == "documents[1] has none of the rank_fields t"


@pytest.mark.parametrize(
    ("pairs", "param"),
    [
        ([{"query": "a", "passage": "b"}, {"query": "a"}], "pairs[1].passage"),
        ([{"passage": "b"}], "pairs[0].query"),
        ([{"query": "a", "passage": 7}], "pairs[0].passage"),
        ([{"query": "", "passage": "b"}], "pairs[0].query"),
        ([{"query": "a", "passage": "b" * 101}], "pairs[0].passage"),
        ([{"query": "a", "passage": "b"}] * 6, "pairs"),
        ([], "pairs"),
    ],
)
def test_bad_pairs(client: TestClient, pairs: list[Any], param: str) -> None:
    status, reply = post(client, "/rerank", json.dumps(pairs).encode())
    assert status == 400
    assert_shape(reply, "/rerank", reply["message"])
    assert reply["error"]["param"] == param
    assert reply["message"].startswith(param)


@PARAMS
def test_unknown_model_lists_the_names(client: TestClient, path: str) -> None:
    sent = {"model": "rerank-5", "query": "a", PATHS[path]: ["b"]}
    status, reply = post(client, path, json.dumps(sent).encode())
    assert status == 404
    assert_shape(reply, path, reply["message"])
    for word in ("'rerank-5'", "demo", "org/short", "broken"):
        assert word in reply["message"]
    if isinstance(reply["error"], dict):
        assert reply["error"]["code"] == "model_not_found"
        assert reply["error"]["param"] == "model"


@PARAMS
@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("content-type", "text/plain"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("content-type", "application/json; charset=utf-16"),
        ("content-encoding", "gzip"),
    ],
)
def test_wrong_content(client: TestClient, path: str, header: str, value: str) -> None:
    status, reply = post(
        client, path, b"{}", **{header.replace("content-type", "content_type"): value}
    )
    assert status == 415
    assert_shape(reply, path, reply["message"])
    if header == "content-type" and "charset" not in value:
        assert "application/json or application/msgpack" in reply["message"]


@PARAMS
def test_body_too_large(client: TestClient, path: str) -> None:
    status, reply = post(client, path, b" " * 1_000_001)
    assert status == 413
    assert_shape(reply, path, reply["message"])
    assert "the limit is 1000000" in reply["message"]


@pytest.mark.parametrize("value", ["0", "-5", "1.5", "soon", "", "9" * 13, "١"])
def test_bad_timeout_header(client: TestClient, value: str) -> None:
    headers = {b"X-Request-Timeout-Ms": value.encode()}
    response = client.post("/v1/rerank", json={"query": "a", "documents": ["b"]}, headers=headers)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "X-Request-Timeout-Ms"
    assert "100000" in response.json()["message"]


def test_tei_shape_by_the_fields_alone_even_when_they_are_wrong(client: TestClient) -> None:
    for body in ({"texts": ["a"]}, {"query": 7, "texts": ["a"]}, {"query": "a", "texts": [7]}):
        status, reply = post(client, "/v1/rerank", json.dumps(body).encode())
        assert status == 400
        assert_shape(reply, "/tei/rerank", reply["message"])


def test_unavailable_model_has_a_retry_after(client: TestClient) -> None:
    sent = {"model": "broken", "query": "a", "documents": ["b"]}
    response = client.post("/v1/rerank", json=sent)
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    assert response.json()["error"]["code"] == "model_unavailable"
    assert response.json()["error"]["type"] == "server_error"
    response = client.post("/rerank", json={"model": "broken", "query": "a", "texts": ["b"]})
    assert response.status_code == 503
    assert response.json()["error_type"] == "Unhealthy"


@pytest.mark.parametrize(
    ("method", "path", "status", "hint"),
    [
        ("POST", "/v1/rerankk", 404, "did you mean /v1/rerank?"),
        ("POST", "/v1/rerank/x", 404, "did you mean /v1/rerank?"),
        ("GET", "/nowhere/at/all/of/this", 404, "GET / lists the endpoints"),
        ("GET", "/v1/models/nope", 404, "use one of: demo, org/short, broken, slow"),
        ("GET", "/v1/rerank", 405, "use POST"),
        ("DELETE", "/v1/models", 405, "use GET, HEAD"),
    ],
)
def test_unknown_path_and_method(
    client: TestClient, method: str, path: str, status: int, hint: str
) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert hint in response.json()["message"]
    assert_shape(response.json(), path, response.json()["message"])
    assert response.headers["x-request-id"]
    assert ("allow" in response.headers) == (status == 405)


def test_neighbours_are_not_harmed(client: TestClient) -> None:
    assert client.post("/v1/rerank", json={"query": "a", "documents": ["b"]}).status_code == 200


def all_errors(root: type[GatewayError]) -> set[type[GatewayError]]:
    return {root}.union(*(all_errors(child) for child in root.__subclasses__()))


@pytest.mark.parametrize("error", sorted(all_errors(GatewayError), key=str))
def test_error_tree(error: type[GatewayError]) -> None:
    assert 400 <= error.status < 600
    assert error.status not in {409, 422}  # retried by four clients; crashes one
    client_errs = issubclass(error, errors.ClientError)
    assert client_errs == (error.status < 500)
    usual = "invalid_request_error" if client_errs else "server_error"
    special = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    assert error.kind == special.get(error.status, usual)
    assert error.code == error.code.lower()
    if error.__subclasses__() == []:
        drawn = f"{error.__name__} "
        entry = next(text for text in (errors.__doc__ or "").splitlines() if drawn in text)
        assert entry.split()[-2:] == [str(error.status), error.code]
