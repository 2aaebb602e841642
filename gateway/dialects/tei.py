"""text-embeddings-inference: `texts` in, a bare list of scores out, no model name anywhere.

Best first, ties by index. `top_n` is not TEI's, but LiteLLM sends it here and it is honoured.
Errors have TEI's `error` (a string) and `error_type`, and `message` and `detail` beside them.
"""

from gateway.dialects.base import Limits
from gateway.dialects.body import RerankBody
from gateway.dialects.fields import (
    read_flag,
    read_instruction,
    read_max_tokens_per_doc,
    read_model,
    read_text,
    read_texts,
    read_top_n,
    sent,
)
from gateway.dialects.superset import shown_score
from gateway.domain import RerankRequest, RerankResult, Scored
from gateway.errors import GatewayError

_ERROR_TYPES = {
    "overloaded": "Overloaded",
    "model_unavailable": "Unhealthy",
    "shutting_down": "Unhealthy",
}
"""TEI's names for our codes; the others are `Validation` (the client's) or `Backend` (ours)."""


class Tei:
    """The dialect of a TEI reranker."""

    name = "tei"

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        return RerankRequest(
            queries=(read_text(body.query, "query", limits.query_bytes),),
            documents=read_texts(sent(body.texts), "texts", limits),
            model=read_model(body),
            instruction=read_instruction(body, limits),
            top_n=read_top_n(body),
            return_documents=read_flag(body.return_text, "return_text"),
            max_tokens_per_doc=read_max_tokens_per_doc(body),
            raw_scores=read_flag(body.raw_scores, "raw_scores"),
            keys=body.keys,
        )

    def render(self, request: RerankRequest, result: RerankResult) -> list[dict[str, object]]:
        return [_render_one(request, scored) for scored in result.top]

    def render_error(self, error: GatewayError, request_id: str) -> object:
        fallback = "Validation" if error.status < 500 else "Backend"
        return {
            "error": error.message,
            "error_type": _ERROR_TYPES.get(error.code, fallback),
            "message": error.message,
            "detail": error.message,
        }


def _render_one(request: RerankRequest, scored: Scored) -> dict[str, object]:
    one: dict[str, object] = {"index": scored.index, "score": shown_score(request, scored)}
    if request.return_documents:
        one["text"] = request.documents[scored.index].text
    return one


TEI = Tei()
