"""The gateway's own API: results best first and, beside them, all scores in input order.

`NATIVE` takes `{query, documents, top_k, instruction}` and returns the shared reply with `score` in
each result, `scores` and `processing_time_ms`. `PAIRS` takes a bare list of `{query, passage}`
(or `{"pairs": [...], "model": ..., "instruction": ...}`) and returns `{"scores": [...]}`; a pair
may have an `instruction` of its own.
"""

from collections.abc import Sequence

import msgspec
from msgspec import UNSET, Struct, UnsetType

from gateway.dialects.base import Contract, Limits, SharedErrors
from gateway.dialects.field_parsers import (
    INSTRUCTION_NAMES,
    check_size,
    parse_own_instruction,
    value_or_none,
)
from gateway.dialects.reply_fields import (
    Details,
    ObjectResult,
    details_in_order,
    object_results,
    scores_in_order,
)
from gateway.dialects.request_body import Pair, RerankBody
from gateway.dialects.request_parser import check_document_count, parse_query, parse_shared_fields
from gateway.dialects.shared_api import SHARED_REQUEST_FIELDS, SharedDialect, SharedReply
from gateway.domain.errors import InvalidRequest
from gateway.domain.request import Document, RerankRequest, RerankResult


class NativeResult(ObjectResult, kw_only=True):
    """One document's score, under both names."""

    score: float


class NativeReply(SharedReply, kw_only=True):
    """The shared reply and the native fields."""

    results: Sequence[NativeResult]
    scores: list[float]
    processing_time_ms: float


class PairsReply(Struct):
    """One score per pair, in input order; `details`, with `return_details`, in the same order."""

    scores: list[float]
    details: list[Details] | UnsetType = UNSET


class Native(SharedDialect):
    """The shared API and the native fields."""

    def render(self, request: RerankRequest, result: RerankResult) -> NativeReply:
        return NativeReply(
            results=[_with_score(shared) for shared in object_results(request, result)],
            scores=scores_in_order(request, result),
            processing_time_ms=round(result.processing_seconds * 1000, 3),
            **self.envelope(request, result),
        )


class Pairs(SharedErrors):
    """One score per (query, passage) pair, in input order."""

    name = "pairs"
    contract = Contract(
        title="Pairs",
        required=("pairs",),
        reply=PairsReply,
        example={
            "pairs": [
                {"query": "capital of France", "passage": "Paris is the capital of France."},
                {"query": "colour of bananas", "passage": "Bananas are yellow."},
            ]
        },
    )

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        pairs = value_or_none(body.pairs) or []
        check_document_count(len(pairs), "pairs", limits)
        documents = []
        for i, pair in enumerate(pairs):
            parse_query(pair.query, f"pairs[{i}].query", limits)
            documents.append(Document(_passage(pair, i)))
            check_size(documents[-1].text, f"pairs[{i}].passage", limits.document_bytes)
        return RerankRequest(
            queries=tuple([pair.query for pair in pairs]),
            documents=tuple(documents),
            documents_field="pairs",
            queries_field="pairs",
            instructions=_instructions(pairs, limits),
            **parse_shared_fields(body, limits),
        )

    def render(self, request: RerankRequest, result: RerankResult) -> PairsReply:
        return PairsReply(scores_in_order(request, result), details_in_order(request, result))


def _passage(pair: Pair, index: int) -> str:
    """Return the text of a pair under either of its names."""
    text = pair.document if isinstance(pair.passage, UnsetType) else pair.passage
    if isinstance(text, UnsetType):
        name = f"pairs[{index}].passage"
        raise InvalidRequest(f"{name} is missing", param=name)
    return text


def _instructions(pairs: Sequence[Pair], limits: Limits) -> tuple[str, ...]:
    found = [
        parse_own_instruction(
            {name: getattr(pair, name) for name in INSTRUCTION_NAMES}, f"pairs[{i}]", limits
        )
        for i, pair in enumerate(pairs)
    ]
    return tuple(found) if any(found) else ()


def _with_score(shared: ObjectResult) -> NativeResult:
    return NativeResult(**msgspec.structs.asdict(shared), score=shared.relevance_score)


NATIVE = Native(
    "native",
    "1",
    Contract(
        title="The gateway's own API",
        required=("query", "documents"),
        fields=SHARED_REQUEST_FIELDS,
        reply=NativeReply,
        example={
            "query": "capital of France",
            "documents": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
            "instruction": "Find the passage that answers the question",
            "long_documents": "passages",
            "return_details": True,
        },
    ),
)
PAIRS = Pairs()
