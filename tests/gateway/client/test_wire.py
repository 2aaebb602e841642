"""Request bodies, and replies and errors of this gateway and of other servers."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from gateway.client import (
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    ServerFault,
    Unauthorized,
    Unavailable,
    UnknownModel,
)
from gateway.client.errors import ClientError
from gateway.client.wire import (
    Scored,
    read_error,
    read_reply,
    request_body,
    retry_after_seconds,
)

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


def test_fields_without_a_value_are_not_sent() -> None:
    sent = json.loads(request_body("q", ["ä"], model=None, top_n=3))
    assert sent == {"query": "q", "documents": ["ä"], "top_n": 3}


def test_lone_surrogates_are_rejected_before_sending() -> None:
    with pytest.raises(InvalidRequest, match="cannot be written as JSON"):
        request_body("q", ["\ud800"])


def test_the_smallest_reply() -> None:
    reply = read_reply(
        b'{"results":[{"index":1,"relevance_score":1},{"index":0,"relevance_score":0.25}]}',
        documents=2,
        request_id="r",
    )
    assert reply.scored == (Scored(1, 1.0), Scored(0, 0.25))
    assert (reply.model, reply.tokens, reply.request_ids, reply.warnings) == ("", 0, ("r",), ())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>hello</html>",
        b"[]",
        b"{}",
        b'{"results":[{"index":0}]}',
        b'{"results":[{"index":0,"relevance_score":null}]}',
        b'{"results":[{"index":2,"relevance_score":0.5}]}',
        b'{"results":[{"index":0,"relevance_score":0.5},{"index":0,"relevance_score":0.5}]}',
    ],
)
def test_a_body_that_is_no_reply_is_a_server_fault(body: bytes) -> None:
    with pytest.raises(ServerFault, match="no rerank reply"):
        read_reply(body, documents=2, request_id=None)


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (400, b'{"message":"M","detail":"D"}', InvalidRequest, "M"),
        (404, b'{"error":{"message":"M","code":"model_not_found"}}', UnknownModel, "M"),
        (404, b'{"detail":"Not Found"}', InvalidRequest, "Not Found"),
        (401, b"", Unauthorized, "HTTP status 401"),
        (429, b'{"error":"Model is overloaded","error_type":"Overloaded"}', Overloaded, "Model"),
        (503, b'{"error":{"message":"M","code":"overloaded"}}', Overloaded, "M"),
        (503, b"<html>bad gateway</html>", Unavailable, "<html>"),
        (500, b'{"detail":[{"msg":"x"}]}', ServerFault, "detail"),
        (504, b'{"message":"late"}', DeadlineExceeded, "late"),
    ],
)
def test_errors_of_every_shape_keep_their_message(
    status: int, body: bytes, kind: type[ClientError], message: str
) -> None:
    error = read_error(status, {"x-request-id": "r", "retry-after": "7"}, body)
    assert type(error) is kind
    assert error.message.startswith(message) or message in error.message
    assert (error.status, error.request_id, error.retry_after_seconds) == (status, "r", 7.0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("soon", None),
        ("-3", None),
        ((NOW + timedelta(seconds=30)).strftime("%a, %d %b %Y %H:%M:%S GMT"), 30.0),
        ((NOW - timedelta(seconds=30)).strftime("%a, %d %b %Y %H:%M:%S GMT"), 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(text, NOW) == seconds
