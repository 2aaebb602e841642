"""From the fields of a body to the values of a request: the rules that all dialects share.

Each function takes what the client sent under one name and returns the value inside, or raises
`InvalidRequest` naming the field, what was found, the limit and the way out.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

import orjson
from msgspec import UnsetType

from gateway.dialects.base import Limits
from gateway.dialects.body import RerankBody, Sent
from gateway.domain import Document
from gateway.errors import InvalidRequest

T = TypeVar("T")

DEFAULT_MODEL_NAMES = {"", "default/not-specified"}
"""What infinity's clients send when no model was chosen."""

_FLAGS = {"true": True, "false": False}
_DEEPEST = 32
_LARGEST_INTEGER = 2**63 - 1
_LARGEST_COUNT = 2**31 - 1


def sent(value: Sent[T]) -> T | None:
    """Return the value, or `None` when it is missing or `null`."""
    return None if isinstance(value, UnsetType) else value


def read_text(value: Sent[str], name: str, limit_bytes: int) -> str:
    """Read a string that must be there and must not be blank."""
    text = sent(value)
    if text is None:
        raise InvalidRequest(f"{name} is missing: send it as a string", param=name)
    if not text.strip():
        raise InvalidRequest(f"{name} is empty: there is nothing to compare with", param=name)
    check_size(text, name, limit_bytes)
    return text


def read_model(body: RerankBody) -> str | None:
    """Read the model's name; `None` for the default model."""
    name = sent(body.model)
    return None if name in DEFAULT_MODEL_NAMES else name


def read_instruction(body: RerankBody, limits: Limits) -> str | None:
    """Read the instruction under any of its names; `None` when there is none or it is blank."""
    for name in ("instruction", "instruct", "task"):
        text = sent(getattr(body, name))
        if text is not None and text.strip():
            check_size(text, name, limits.query_bytes)
            return str(text)
    return None


def read_top_n(body: RerankBody) -> int | None:
    """Read `top_n`, or else `top_k`; missing, `null` and 0 mean all."""
    values = [read_count(sent(getattr(body, name)), name) for name in ("top_n", "top_k")]
    return next((value for value in values if value), None)


def read_max_tokens_per_doc(body: RerankBody) -> int | None:
    """Read the most tokens of one document that are scored; `None` and 0 for the model's limit."""
    return read_count(sent(body.max_tokens_per_doc), "max_tokens_per_doc") or None


def read_count(value: int | None, name: str) -> int | None:
    """Read a number that must not be negative; more than any list can hold is as good as that."""
    if value is not None and value < 0:
        raise InvalidRequest(f"{name} is negative: send 0 or more", param=name)
    return None if value is None else min(value, _LARGEST_COUNT)


def read_flag(value: Sent[bool | str], name: str) -> bool:
    """Read a boolean that defaults to false; some clients send it as a string."""
    flag = sent(value)
    if not isinstance(flag, str):
        return bool(flag)
    if flag.lower() not in _FLAGS:
        raise InvalidRequest(f"{name}: expected true or false, got a string", param=name)
    return _FLAGS[flag.lower()]


def read_texts(texts: Sequence[str] | None, name: str, limits: Limits) -> tuple[Document, ...]:
    """Read documents that are plain strings."""
    return read_documents(texts, name, (), limits)


def read_documents(
    sent_documents: Sequence[str | Mapping[str, object]] | None,
    name: str,
    rank_fields: Sequence[str],
    limits: Limits,
) -> tuple[Document, ...]:
    """Read documents: strings, objects with `text`, or objects whose `rank_fields` are joined."""
    if sent_documents is None:
        raise InvalidRequest(f"{name} is missing: send a list of documents", param=name)
    check_number(len(sent_documents), name, limits)
    documents = tuple(
        Document(one) if isinstance(one, str) else _from_object(one, f"{name}[{i}]", rank_fields)
        for i, one in enumerate(sent_documents)
    )
    for i, document in enumerate(documents):
        check_size(document.text, f"{name}[{i}]", limits.document_bytes)
    return documents


def check_number(number: int, name: str, limits: Limits) -> None:
    """Refuse no documents, and more than the limit."""
    if not number:
        raise InvalidRequest(f"{name} is empty: send at least one document", param=name)
    if number > limits.documents:
        raise InvalidRequest(
            f"{name} has {number} documents, the limit is {limits.documents} in one request: "
            "send them in several",
            param=name,
        )


def check_size(text: str, name: str, limit_bytes: int) -> None:
    """Refuse a string that takes more bytes as UTF-8 than the limit."""
    if len(text) * 4 <= limit_bytes:  # no character takes more than four
        return
    size = len(text.encode())
    if size > limit_bytes:
        raise InvalidRequest(
            f"{name} has {size} bytes, the limit is {limit_bytes}: shorten it", param=name
        )


def _from_object(fields: Mapping[str, object], name: str, rank_fields: Sequence[str]) -> Document:
    _check_plain(fields, name, _DEEPEST)
    return Document(_text_of(fields, name, rank_fields), fields)


def _text_of(fields: Mapping[str, object], name: str, rank_fields: Sequence[str]) -> str:
    """Return the listed fields, one a line in the order of the list, or else `text`."""
    if rank_fields:
        values = [fields[field] for field in rank_fields if fields.get(field) is not None]
        if not values:
            wanted = ", ".join(rank_fields)[:200]
            raise InvalidRequest(f"{name} has none of the rank_fields {wanted}", param=name)
        return "\n".join(v if isinstance(v, str) else orjson.dumps(v).decode() for v in values)
    text = fields.get("text")
    if not isinstance(text, str):
        raise InvalidRequest(
            f"{name} has no string in its field text: add one, or name its fields in rank_fields",
            param=name,
        )
    return text


def _check_plain(value: object, name: str, levels: int) -> None:
    """Refuse in a kept object what could not be written into the reply as JSON."""
    problem = _problem(value, levels)
    if problem:
        raise InvalidRequest(f"{name} {problem}", param=name)
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise InvalidRequest(f"{name} has a key that is not a string", param=name)
            _check_plain(inner, f"{name}.{key[:40]}", levels - 1)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            _check_plain(inner, f"{name}[{i}]", levels - 1)


def _problem(value: object, levels: int) -> str:
    if isinstance(value, Mapping | list):
        return "" if levels else f"is nested deeper than {_DEEPEST} levels"
    if isinstance(value, int):  # and bool
        return "" if abs(value) <= _LARGEST_INTEGER else "is an integer of more than 64 bits"
    if isinstance(value, float):
        return "" if math.isfinite(value) else "is not a finite number"
    return "" if value is None or isinstance(value, str) else "is not a value that JSON has"
