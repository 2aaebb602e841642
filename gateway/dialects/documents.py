"""The documents of a body: strings, and objects of several shapes that hold a text."""

import math
from collections.abc import Mapping, Sequence

import orjson
from msgspec import UnsetType

from gateway.dialects.base import Limits
from gateway.dialects.body import Sent, Text
from gateway.dialects.fields import check_size, sent
from gateway.domain import Document
from gateway.errors import InvalidRequest

_DEEPEST = 32
_LARGEST_INTEGER = 2**63 - 1


def read_query(value: Sent[Text], name: str, limits: Limits) -> str:
    """Read a query: a string, or an object that holds one; there must be one, and not blank."""
    text = None if isinstance(value, UnsetType) else value
    if text is None:
        raise InvalidRequest(f"{name} is missing: send it as a string", param=name)
    if not isinstance(text, str):
        text = text_of(text, name, ())
    if not text.strip():
        raise InvalidRequest(f"{name} is empty: there is nothing to compare with", param=name)
    check_size(text, name, limits.query_bytes)
    return text


def read_documents(
    value: Sent[Sequence[Text] | str], name: str, limits: Limits, rank_fields: Sequence[str] = ()
) -> tuple[Document, ...]:
    """Read documents: strings, objects with `text`, or objects whose `rank_fields` are joined."""
    sent_documents = sent(value)
    if sent_documents is None:
        raise InvalidRequest(f"{name} is missing: send a list of documents", param=name)
    if isinstance(sent_documents, str):
        sent_documents = (sent_documents,)
    check_number(len(sent_documents), name, limits)
    documents = tuple(
        [
            Document(one)
            if isinstance(one, str)
            else _from_object(one, f"{name}[{i}]", rank_fields)
            for i, one in enumerate(sent_documents)
        ]
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


def text_of(fields: Mapping[str, object], name: str, rank_fields: Sequence[str]) -> str:
    """Return the listed fields, one a line in the order of the list, or else `text`."""
    if rank_fields:
        return _joined(fields, name, rank_fields)
    text = fields.get("text")
    if isinstance(text, str):
        return text
    parts = fields.get("content")
    if isinstance(parts, list) and text is None:
        return "\n".join(
            [_text_of_part(part, f"{name}.content[{i}]") for i, part in enumerate(parts)]
        )
    raise InvalidRequest(
        f"{name} has no string in its field text: add one, or name its fields in rank_fields",
        param=name,
    )


def _joined(fields: Mapping[str, object], name: str, rank_fields: Sequence[str]) -> str:
    values = [fields[field] for field in rank_fields if fields.get(field) is not None]
    if not values:
        wanted = ", ".join(rank_fields)[:200]
        raise InvalidRequest(f"{name} has none of the rank_fields {wanted}", param=name)
    return "\n".join([v if isinstance(v, str) else orjson.dumps(v).decode() for v in values])


def _text_of_part(part: object, name: str) -> str:
    """Read one part of vLLM's multimodal content; images and sound are beyond our models."""
    text = part.get("text") if isinstance(part, Mapping) else None
    if not isinstance(text, str):
        raise InvalidRequest(
            f"{name} is no text: send parts of the form {{'type': 'text', 'text': ...}}", param=name
        )
    return text


def _from_object(fields: Mapping[str, object], name: str, rank_fields: Sequence[str]) -> Document:
    _check_plain(fields, name, _DEEPEST)
    return Document(text_of(fields, name, rank_fields), fields)


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
