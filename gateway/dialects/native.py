"""The gateway's own API: results best first and, beside them, all scores in input order.

`NATIVE` takes `{query, documents, top_k, instruction}` and answers the shared reply with `score` in
each result, `scores` and `processing_time_ms`. `PAIRS` takes a bare list of `{query, passage}`
(or `{"pairs": [...], "model": ..., "instruction": ...}`) and answers `{"scores": [...]}`.
"""

from gateway.dialects.base import Limits
from gateway.dialects.body import RerankBody
from gateway.dialects.fields import (
    check_number,
    check_size,
    read_flag,
    read_instruction,
    read_max_tokens_per_doc,
    read_model,
    read_text,
    sent,
)
from gateway.dialects.superset import Superset, shown_score
from gateway.domain import Document, RerankRequest, RerankResult, Scored
from gateway.errors import GatewayError


class Native(Superset):
    """The shared API and the native fields."""

    def render(self, request: RerankRequest, result: RerankResult) -> dict[str, object]:
        return {
            **super().render(request, result),
            "scores": _scores(request, result),
            "processing_time_ms": round(result.processing_seconds * 1000, 3),
        }

    def render_one(self, request: RerankRequest, scored: Scored) -> dict[str, object]:
        return {**super().render_one(request, scored), "score": shown_score(request, scored)}


class Pairs:
    """One score per (query, passage) pair, in input order."""

    name = "pairs"

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        pairs = sent(body.pairs) or []
        check_number(len(pairs), "pairs", limits)
        for i, pair in enumerate(pairs):
            read_text(pair.query, f"pairs[{i}].query", limits.query_bytes)
            check_size(pair.passage, f"pairs[{i}].passage", limits.document_bytes)
        return RerankRequest(
            queries=tuple(pair.query for pair in pairs),
            documents=tuple(Document(pair.passage) for pair in pairs),
            model=read_model(body),
            instruction=read_instruction(body, limits),
            max_tokens_per_doc=read_max_tokens_per_doc(body),
            raw_scores=read_flag(body.raw_scores, "raw_scores"),
            keys=body.keys,
        )

    def render(self, request: RerankRequest, result: RerankResult) -> object:
        return {"scores": _scores(request, result)}

    def render_error(self, error: GatewayError, request_id: str) -> object:
        return NATIVE.render_error(error, request_id)


def _scores(request: RerankRequest, result: RerankResult) -> list[float]:
    return [shown_score(request, scored) for scored in result.scored]


NATIVE = Native("native", "1")
PAIRS = Pairs()
