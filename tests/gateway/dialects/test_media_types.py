"""Media types of requests and of their replies."""

import msgspec
import orjson
import pytest

from gateway.dialects.media_types import MediaType, encode, reply_media_type, request_media_type
from gateway.domain.errors import UnsupportedMediaType

J, M = MediaType.JSON, MediaType.MSGPACK


@pytest.mark.parametrize(
    ("content_type", "form"),
    [
        ("", J),
        ("application/json", J),
        ("Application/JSON; charset=UTF-8", J),
        ('application/json;charset="utf-8"', J),
        ("text/json", J),
        ("application/problem+json", J),
        ("application/msgpack", M),
        ("application/x-msgpack", M),
        ("application/vnd.msgpack", M),
    ],
)
def test_request_media_type(content_type: str, form: MediaType) -> None:
    assert request_media_type(content_type) is form


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "text/html", "multipart/form-data; boundary=x", "application/xml", "json", ";"],
)
def test_other_content_types_are_rejected_with_the_accepted_ones(content_type: str) -> None:
    if content_type == ";":  # no type at all
        assert request_media_type(content_type) is J
        return
    with pytest.raises(UnsupportedMediaType) as caught:
        request_media_type(content_type)
    assert "application/json or application/msgpack" in caught.value.message
    assert caught.value.param == "Content-Type"


def test_json_in_another_charset_is_rejected() -> None:
    with pytest.raises(UnsupportedMediaType, match="utf-16"):
        request_media_type("application/json; charset=utf-16")


@pytest.mark.parametrize(
    ("accept", "request_", "reply"),
    [
        ("", J, J),
        ("", M, M),
        ("*/*", J, J),
        ("*/*", M, M),
        ("application/*;q=0.5", M, M),
        ("application/json", M, J),
        ("application/msgpack", J, M),
        ("application/x-msgpack", J, M),
        ("application/json, application/msgpack", J, J),
        ("application/json;q=0.5, application/msgpack", J, M),
        ("application/msgpack;q=0.2, application/json;q=0.9", M, J),
        ("application/msgpack;q=0, */*", J, J),
        ("text/html", M, J),
        ("text/html, */*;q=0.1", M, M),
        ("application/msgpack;q=high", J, J),
    ],
)
def test_reply_media_type(accept: str, request_: MediaType, reply: MediaType) -> None:
    assert reply_media_type(accept, request_) is reply


def test_encode() -> None:
    value = {"scores": [0.5, 1.0], "model": "мир"}
    assert orjson.loads(encode(value, J)) == value
    assert msgspec.msgpack.decode(encode(value, M)) == value
