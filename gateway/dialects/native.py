"""The gateway's own API: results best first and, beside them, all scores in input order.

`NATIVE` takes `{query, documents, top_k, instruction}` and answers the shared reply with `score` in
each result, `scores` and `processing_time_ms`. `PAIRS` takes a bare list of `{query, passage}`
(or `{"pairs": [...], "model": ..., "instruction": ...}`) and answers `{"scores": [...]}`.
"""

from collections.abc import Sequence

import msgspec
from msgspec import UNSET, Struct, UnsetType

from gateway.dialects.base import Contract, Limits, SharedErrors
from gateway.dialects.body import RerankBody
from gateway.dialects.documents import check_number, read_query
from gateway.dialects.fields import check_size, sent
from gateway.dialects.reading import read_shared
from gateway.dialects.showing import (
    Details,
    ObjectResult,
    details,
    object_results,
    shown_score,
)
from gateway.dialects.superset import SHARED_REQUEST, SharedReply, Superset
from gateway.domain import Document, RerankRequest, RerankResult


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


class Native(Superset):
    """The shared API and the native fields."""

    def render(self, request: RerankRequest, result: RerankResult) -> NativeReply:
        return NativeReply(
            results=[_with_score(one) for one in object_results(request, result)],
            scores=_scores(request, result),
            processing_time_ms=round(result.processing_seconds * 1000, 3),
            **self.beside_results(request, result),
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
        pairs = sent(body.pairs) or []
        check_number(len(pairs), "pairs", limits)
        for i, pair in enumerate(pairs):
            read_query(pair.query, f"pairs[{i}].query", limits)
            check_size(pair.passage, f"pairs[{i}].passage", limits.document_bytes)
        return RerankRequest(
            queries=tuple([pair.query for pair in pairs]),
            documents=tuple([Document(pair.passage) for pair in pairs]),
            documents_field="pairs",
            **read_shared(body, limits),
        )

    def render(self, request: RerankRequest, result: RerankResult) -> PairsReply:
        each = [Details(**details(request, scored)) for scored in result.scored]
        return PairsReply(_scores(request, result), each if request.return_details else UNSET)


def _with_score(one: ObjectResult) -> NativeResult:
    return NativeResult(**msgspec.structs.asdict(one), score=one.relevance_score)


def _scores(request: RerankRequest, result: RerankResult) -> list[float]:
    return [shown_score(request, scored) for scored in result.scored]


NATIVE = Native(
    "native",
    "1",
    Contract(
        title="The gateway's own form",
        required=("query", "documents"),
        fields=SHARED_REQUEST,
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
