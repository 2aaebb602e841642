"""Which form a request has and which its reply gets."""

import msgspec
import orjson
import pytest

from gateway.dialects.media import Form, encode, reply_form, request_form
from gateway.errors import UnsupportedMediaType

J, M = Form.JSON, Form.MSGPACK


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
def test_request_form(content_type: str, form: Form) -> None:
    assert request_form(content_type) is form


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "text/html", "multipart/form-data; boundary=x", "application/xml", "json", ";"],
)
def test_other_content_types_are_refused_with_the_accepted_ones(content_type: str) -> None:
    if content_type == ";":  # no type at all
        assert request_form(content_type) is J
        return
    with pytest.raises(UnsupportedMediaType) as caught:
        request_form(content_type)
    assert "application/json or application/msgpack" in caught.value.message
    assert caught.value.param == "Content-Type"


def test_json_in_another_charset_is_refused() -> None:
    with pytest.raises(UnsupportedMediaType, match="utf-16"):
        request_form("application/json; charset=utf-16")


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
def test_reply_form(accept: str, request_: Form, reply: Form) -> None:
    assert reply_form(accept, request_) is reply


def test_encode() -> None:
    value = {"scores": [0.5, 1.0], "model": "мир"}
    assert orjson.loads(encode(value, J)) == value
    assert msgspec.msgpack.decode(encode(value, M)) == value
