"""The shared part of dialects of vectors: texts in, one vector a text out, and replies in parts.

A reply holds up to millions of numbers. It is encoded part by part while it is sent, so that no
step holds up the event loop for long, and the whole of it is never in memory.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from msgspec import Raw

from gateway.dialects.base import Contract, Limits
from gateway.dialects.field_parsers import (
    parse_count,
    parse_flag,
    parse_instruction,
    parse_max_tokens_per_doc,
    parse_model,
    parse_truncation,
    value_or_none,
)
from gateway.dialects.media_types import ENCODERS, MediaType
from gateway.dialects.request_body import Nullable, RerankBody, Text
from gateway.dialects.request_parser import parse_documents
from gateway.domain.errors import InvalidRequest
from gateway.domain.request import Encoding, RerankRequest, RerankResult

MOST_TEXTS = 2048
"""The most texts of one request, as at OpenAI; `limits.documents` may allow fewer."""

VECTOR_FIELDS = (
    "input_type",
    "prompt_name",
    "task",
    "instruction",
    "instruct",
    "dimensions",
    "normalize",
    "max_tokens_per_doc",
    "truncation",
    "truncate",
    "truncation_direction",
    "truncation_side",
)
"""Fields that every dialect of vectors reads, beside its texts and `model`."""

NO_TOKENS = (
    "send a string or a list of strings; token ids are not read, since those of another tokenizer "
    "mean other words (LangChain: check_embedding_ctx_length=False)"
)
"""The remedy for texts of another type, such as the token arrays that LangChain sends."""

_SIDES = {
    **dict.fromkeys(("query", "search_query", "retrieval.query", "retrieval_query"), "query"),
    **dict.fromkeys(("document", "passage", "corpus", "search_document"), "document"),
    **dict.fromkeys(("retrieval.passage", "retrieval_document"), "document"),
    "text": "text",
}
"""The prompt that a name means, in any letter case."""

_SIDE_FIELDS = ("input_type", "prompt_name", "task")
_FORMATS = ("float", "base64")
_SHOWN = 40
_PART_NUMBERS = 8192  # of a part of a reply; their digits take about a millisecond
_MARK = b"\x00the vectors\x00"
_LISTS: Mapping[MediaType, tuple[bytes, bytes]] = {
    MediaType.JSON: (b",", b"]"),
    MediaType.MSGPACK: (b"", b""),
}


@runtime_checkable
class VectorDialect(Protocol):
    """One API of vectors; see `Dialect`."""

    @property
    def name(self) -> str: ...

    @property
    def contract(self) -> Contract: ...

    def whole(self, result: RerankResult, data: Any) -> object:
        """Return the reply around its vectors."""
        ...

    def one(self, request: RerankRequest, index: int, vector: bytes) -> object:
        """Return the part of the reply with one vector."""
        ...


def parse_texts(
    body: RerankBody, value: Nullable[list[Text] | str], name: str, limits: Limits
) -> RerankRequest:
    """Parse a request for the vectors of texts.

    Args:
        body: the decoded body.
        value: its texts.
        name: the name of the field that has them.
        limits: limits of the request.

    Raises:
        InvalidRequest: a field is missing, wrong, or over a limit.
    """
    fewer = replace(limits, documents=min(limits.documents, MOST_TEXTS))
    truncation = parse_truncation(body)
    return RerankRequest(
        queries=("",),
        documents=parse_documents(value, name, fewer),
        documents_field=name,
        model=parse_model(body),
        instruction=parse_instruction(body, limits, ("instruction", "instruct")),
        max_tokens_per_doc=parse_max_tokens_per_doc(body),
        fields_set=body.fields_set,
        keep_end=truncation.keep_end,
        long_documents=truncation.policy,
        may_cut=truncation.may_cut,
        encoding=Encoding(
            side=_side(body),
            dimensions=parse_count(value_or_none(body.dimensions), "dimensions") or 0,
            is_unit=parse_flag(body.normalize, "normalize", default=True),
            is_base64=_format(body) == "base64",
        ),
    )


def _side(body: RerankBody) -> str:
    """Return the side that the request names under any name; they must not contradict."""
    found: dict[str, str] = {}
    for name in _SIDE_FIELDS:
        value = value_or_none(getattr(body, name))
        if value is None or not value:
            continue
        side = _SIDES.get(value[: _SHOWN + 1].lower())
        if side is None:
            raise InvalidRequest(
                f"{name} is {value[:_SHOWN]!r}: use query or document, or leave it out for the "
                "model's default prompt",
                param=name,
            )
        found[name] = side
    if len(set(found.values())) > 1:
        fields = " and ".join(found)
        raise InvalidRequest(f"{fields} contradict each other: send one", param=next(iter(found)))
    return next(iter(found.values()), "text")


def _format(body: RerankBody) -> str:
    value = value_or_none(body.encoding_format) or _FORMATS[0]
    if value not in _FORMATS:
        raise InvalidRequest(
            f"encoding_format is {value[:_SHOWN]!r}: use one of {', '.join(_FORMATS)}",
            param="encoding_format",
        )
    return value


def numbers(vector: bytes) -> list[float]:
    """Return a vector as numbers."""
    found: Sequence[float] = memoryview(vector).cast("f")
    return list(found)


def shown(request: RerankRequest, vector: bytes) -> list[float] | str:
    """Return a vector as the request has it: numbers, or their bytes in base64."""
    is_base64 = request.encoding is not None and request.encoding.is_base64
    return base64.b64encode(vector).decode() if is_base64 else numbers(vector)


def rendered(dialect: VectorDialect, request: RerankRequest, result: RerankResult) -> object:
    """Return a whole reply."""
    each = enumerate(result.vectors)
    return dialect.whole(result, [dialect.one(request, index, vector) for index, vector in each])


def reply_parts(
    dialect: VectorDialect, request: RerankRequest, result: RerankResult, media_type: MediaType
) -> Iterator[bytes]:
    """Yield the bytes of a reply, of which a short one has one part."""
    encode, (comma, end) = ENCODERS[media_type], _LISTS[media_type]
    before, _, after = encode(dialect.whole(result, Raw(_MARK))).partition(_MARK)
    pieces, pending = [before, _list_start(media_type, len(result.vectors))], 0
    for index, vector in enumerate(result.vectors):
        pieces += [comma if index else b"", encode(dialect.one(request, index, vector))]
        pending += len(vector) // 4
        if pending >= _PART_NUMBERS:
            yield b"".join(pieces)
            pieces, pending = [], 0
    yield b"".join((*pieces, end, after))


def _list_start(media_type: MediaType, length: int) -> bytes:
    return b"[" if media_type is MediaType.JSON else b"\xdd" + length.to_bytes(4)
