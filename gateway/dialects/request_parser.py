"""Parsers of a body into a `RerankRequest`, shared by the dialects, which differ in field names.

Query and documents are strings, or objects of several shapes with a text.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import orjson
from msgspec import UnsetType

from gateway.dialects.base import Limits
from gateway.dialects.field_parsers import (
    check_size,
    parse_flag,
    parse_instruction,
    parse_max_passages,
    parse_max_tokens_per_doc,
    parse_max_tokens_per_pair,
    parse_max_tokens_per_query,
    parse_model,
    parse_own_instruction,
    parse_raw_scores,
    parse_top_n,
    parse_truncation,
    value_or_none,
)
from gateway.dialects.plain_values import check_plain
from gateway.dialects.request_body import SHARED_FIELDS, Nullable, RerankBody, Text
from gateway.dialects.yaml_text import yaml_lines
from gateway.domain.errors import InvalidRequest
from gateway.domain.request import Document, RerankRequest

_MOST_RANK_FIELDS = 64
_SHOWN_NAME = 40
_READ_AS_YAML = "documents without text and rank_fields were read as YAML, with all their fields"
_MEDIA = frozenset({"image", "image_url", "audio", "audio_url", "video", "video_url", "type"})
"""Fields of objects that hold no words to read."""


def parse_request(
    body: RerankBody,
    limits: Limits,
    *,
    documents: str = "documents",
    returns: str = "return_documents",
    returns_by_default: bool = False,
    as_yaml: bool = False,
) -> RerankRequest:
    """Parse a request with one query.

    Args:
        body: the decoded body.
        limits: limits of the request.
        documents: name of the field with the documents.
        returns: name of the flag that requests them in the reply.
        returns_by_default: its value if it is missing.
        as_yaml: whether objects without text are read as YAML.

    Raises:
        InvalidRequest: a field is missing, wrong, or over a limit.
    """
    shared = parse_shared_fields(body, limits)
    if isinstance(body.query, dict):
        own = parse_own_instruction(body.query, "query", limits)
        shared["instruction"] = own or shared.get("instruction")
    as_yaml_names: list[str] | None = [] if as_yaml else None
    return RerankRequest(
        queries=(parse_query(body.query, "query", limits),),
        documents=parse_documents(
            getattr(body, documents),
            documents,
            limits,
            parse_rank_fields(body.rank_fields),
            as_yaml_names,
        ),
        documents_field=documents,
        warnings=(_READ_AS_YAML,) if as_yaml_names else (),
        top_n=parse_top_n(body),
        return_documents=parse_flag(getattr(body, returns), returns, default=returns_by_default),
        **shared,
    )


def parse_shared_fields(body: RerankBody, limits: Limits) -> dict[str, Any]:
    """Parse the fields with the same meaning in every dialect, `SHARED_FIELDS`."""
    fields_set = body.fields_set
    shared = {"model": parse_model(body), "fields_set": fields_set}
    if fields_set.isdisjoint(_RARE):
        return shared
    truncation = parse_truncation(body)
    return {
        **shared,
        "instruction": parse_instruction(body, limits),
        "max_tokens_per_doc": parse_max_tokens_per_doc(body),
        "max_tokens_per_pair": parse_max_tokens_per_pair(body),
        "max_tokens_per_query": parse_max_tokens_per_query(body),
        "raw_scores": parse_raw_scores(body),
        "keep_end": truncation.keep_end,
        "long_documents": truncation.policy,
        "may_cut": truncation.may_cut,
        "most_passages": parse_max_passages(body),
        "return_details": parse_flag(body.return_details, "return_details"),
    }


_RARE = frozenset(SHARED_FIELDS) - {"model"}
"""Fields that most requests do not have; without them their parsers are skipped."""


def parse_query(value: Nullable[Text], name: str, limits: Limits) -> str:
    """Parse a query: a string, or an object with one; required, and not blank."""
    text = None if isinstance(value, UnsetType) else value
    if text is None:
        raise InvalidRequest(f"{name} is missing: send it as a string", param=name)
    if not isinstance(text, str):
        text = object_text(text, name, (), limits.query_bytes)
    if not text or text.isspace():
        raise InvalidRequest(f"{name} is empty: there is nothing to compare with", param=name)
    check_size(text, name, limits.query_bytes)
    return text


def parse_documents(
    value: Nullable[Sequence[Text] | str],
    name: str,
    limits: Limits,
    rank_fields: Sequence[str] = (),
    as_yaml: list[str] | None = None,
) -> tuple[Document, ...]:
    """Parse documents: strings, objects with `text`, or objects whose `rank_fields` are joined.

    Objects that have none of these are read as YAML if there is a list for their names.
    """
    sent_documents = None if isinstance(value, UnsetType) else value
    if sent_documents is None:
        raise InvalidRequest(f"{name} is missing: send a list of documents", param=name)
    if isinstance(sent_documents, str):
        sent_documents = (sent_documents,)
    check_document_count(len(sent_documents), name, limits)
    if set(map(type, sent_documents)) == {str}:  # the usual case, without a step per document
        documents = tuple(map(Document, cast("Sequence[str]", sent_documents)))
    else:
        documents = tuple(
            [
                Document(document)
                if isinstance(document, str)
                else _from_object(document, f"{name}[{i}]", rank_fields, limits, as_yaml)
                for i, document in enumerate(sent_documents)
            ]
        )
    surely_within = limits.document_bytes // 4  # characters; each takes at most four bytes
    for i, document in enumerate(documents):
        if len(document.text) > surely_within:
            check_size(document.text, f"{name}[{i}]", limits.document_bytes)
    return documents


def parse_rank_fields(value: Nullable[Sequence[str]]) -> Sequence[str]:
    """Return the names of the fields that are joined, each once."""
    names = value_or_none(value) or ()
    if len(names) > _MOST_RANK_FIELDS:
        raise InvalidRequest(
            f"rank_fields has {len(names)} names, the limit is {_MOST_RANK_FIELDS}",
            param="rank_fields",
        )
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise InvalidRequest(
            f"rank_fields has {twice[:_SHOWN_NAME]!r} twice: name each field once",
            param="rank_fields",
        )
    return names


def check_document_count(number: int, name: str, limits: Limits) -> None:
    """Reject an empty list of documents, and one above the limit."""
    if not number:
        raise InvalidRequest(f"{name} is empty: send at least one document", param=name)
    if number > limits.documents:
        raise InvalidRequest(
            f"{name} has {number} documents, the limit is {limits.documents} in one request: "
            "send them in several",
            param=name,
        )


def object_text(
    fields: Mapping[str, object], name: str, rank_fields: Sequence[str], limit_bytes: int
) -> str:
    """Return the listed fields, one per line in the order of the list, or else `text`."""
    if rank_fields:
        return _joined(_values(fields, name, rank_fields), name, limit_bytes)
    text = fields.get("text")
    if isinstance(text, str):
        return text
    parts = fields.get("content")
    if isinstance(parts, list) and text is None:
        return _joined(
            (_text_of_part(part, name, i) for i, part in enumerate(parts)), name, limit_bytes
        )
    raise InvalidRequest(
        f"{name} has no string in its field text: add one, or name its fields in rank_fields",
        param=name,
    )


def _values(fields: Mapping[str, object], name: str, rank_fields: Sequence[str]) -> Iterator[str]:
    """Return the values of the listed fields as texts; objects and lists as JSON."""
    values = [fields[field] for field in rank_fields if fields.get(field) is not None]
    if not values:
        wanted = ", ".join([field[:_SHOWN_NAME] for field in rank_fields])[:200]
        raise InvalidRequest(f"{name} has none of the rank_fields {wanted}", param=name)
    return (v if isinstance(v, str) else orjson.dumps(v).decode() for v in values)


def _joined(parts: Iterable[str], name: str, limit_bytes: int) -> str:
    """Join texts by newlines; reject them as soon as they are over the limit together."""
    taken, characters = [], 0
    for part in parts:
        characters += len(part) + 1
        if characters > limit_bytes + 1:  # each character takes at least one byte
            raise InvalidRequest(
                f"{name} has {characters - 1} bytes or more, the limit is {limit_bytes}: "
                "shorten it",
                param=name,
            )
        taken.append(part)
    return "\n".join(taken)


def _text_of_part(part: object, name: str, index: int) -> str:
    """Return the text of one part of vLLM's multimodal content; other parts are rejected."""
    text = part.get("text") if isinstance(part, Mapping) else None
    if not isinstance(text, str):
        name = f"{name}.content[{index}]"
        raise InvalidRequest(
            f"{name} is no text: send parts of the form {{'type': 'text', 'text': ...}}", param=name
        )
    return text


def _from_object(
    fields: Mapping[str, object],
    name: str,
    rank_fields: Sequence[str],
    limits: Limits,
    as_yaml: list[str] | None,
) -> Document:
    check_plain(fields, name)
    if "text" not in fields and as_yaml is not None and not rank_fields and _is_yaml(fields):
        as_yaml.append(name)
        text = _joined(yaml_lines(fields), name, limits.document_bytes)
        return Document(f"{text}\n", fields)
    return Document(object_text(fields, name, rank_fields, limits.document_bytes), fields)


def _is_yaml(fields: Mapping[str, object]) -> bool:
    """Return whether an object without text has no parts either, but more than media."""
    return not isinstance(fields.get("content"), list) and not fields.keys() <= _MEDIA
