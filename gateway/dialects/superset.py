"""The shared rerank API: one reply in which every client finds the fields that it reads.

Cohere, Jina, Voyage, Together, vLLM, infinity and their adapters send nearly the same request to
nearly the same paths, so the reply is the union of theirs, and keeps off what one of them breaks
on:

- `document` is there only when asked for, is never null, and is an object with `text`;
- `object` is `rerank`, token counts are integers, `usage`, `meta`, `model` and `id` always there;
- `data`, where Voyage's clients and Continue look, is there unless the request has a `top_n` key,
  which none of them sends. Its `document` is a string, and only for those who sent `top_k` or
  `truncation`, as Voyage's clients always do.

Errors are the union of Cohere's `message`, Jina's `detail` and OpenAI's `error` object.
"""

import math
from collections.abc import Mapping

from gateway.dialects.base import Limits
from gateway.dialects.body import RerankBody
from gateway.dialects.fields import (
    read_documents,
    read_flag,
    read_instruction,
    read_max_tokens_per_doc,
    read_model,
    read_text,
    read_top_n,
    sent,
)
from gateway.domain import Document, RerankRequest, RerankResult, Scored
from gateway.errors import EngineFailed, GatewayError

_VOYAGE_KEYS = frozenset({"top_k", "truncation"})


class Superset:
    """The shared API under one name; the vendors' own are instances or subclasses."""

    def __init__(self, name: str, api_version: str) -> None:
        self.name = name
        self.api_version = api_version

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        documents = sent(body.documents)
        return RerankRequest(
            queries=(read_text(body.query, "query", limits.query_bytes),),
            documents=read_documents(
                [documents] if isinstance(documents, str) else documents,
                "documents",
                sent(body.rank_fields) or (),
                limits,
            ),
            model=read_model(body),
            instruction=read_instruction(body, limits),
            top_n=read_top_n(body),
            return_documents=read_flag(body.return_documents, "return_documents"),
            max_tokens_per_doc=read_max_tokens_per_doc(body),
            raw_scores=read_flag(body.raw_scores, "raw_scores"),
            keys=body.keys,
        )

    def render(self, request: RerankRequest, result: RerankResult) -> dict[str, object]:
        reply: dict[str, object] = {
            "id": result.id,
            "object": "rerank",
            "created": result.created,
            "model": result.model,
            "results": [self.render_one(request, scored) for scored in result.top],
        }
        if "top_n" not in request.keys:
            reply["data"] = [_voyage_one(request, scored) for scored in result.top]
        reply["usage"] = {
            "prompt_tokens": result.tokens,
            "total_tokens": result.tokens,
            "completion_tokens": 0,
        }
        reply["meta"] = self._meta(result)
        return reply

    def render_one(self, request: RerankRequest, scored: Scored) -> dict[str, object]:
        """Return one entry of `results`."""
        one = _scored(request, scored)
        if request.return_documents:
            one["document"] = _document(request.documents[scored.index])
        return one

    def render_error(self, error: GatewayError, request_id: str) -> object:
        return {
            "id": request_id,
            "message": error.message,
            "detail": error.message,
            "error": {
                "message": error.message,
                "type": error.kind,
                "param": error.param,
                "code": error.code,
            },
        }

    def _meta(self, result: RerankResult) -> dict[str, object]:
        meta: dict[str, object] = {
            "api_version": {"version": self.api_version},
            "billed_units": {"search_units": result.search_units},
            "tokens": {"input_tokens": result.tokens, "output_tokens": 0},
        }
        if result.warnings:
            meta["warnings"] = list(result.warnings)
        return meta


def shown_score(request: RerankRequest, scored: Scored) -> float:
    """Return the number that the client sees: the relevance score, or the margin if it asked.

    Raises:
        EngineFailed: it is not finite; no reply ever says so in place of a score.
    """
    if not math.isfinite(scored.margin):
        raise EngineFailed(
            f"the model gave no finite score for document {scored.index}; the reply is withheld"
        )
    return scored.margin if request.raw_scores else scored.relevance_score


def _scored(request: RerankRequest, scored: Scored) -> dict[str, object]:
    return {"index": scored.index, "relevance_score": shown_score(request, scored)}


def _voyage_one(request: RerankRequest, scored: Scored) -> dict[str, object]:
    one = _scored(request, scored)
    if request.return_documents and request.keys & _VOYAGE_KEYS:
        one["document"] = request.documents[scored.index].text
    return one


def _document(document: Document) -> Mapping[str, object]:
    """Return the client's object with all its fields; `text` is a string in any case."""
    fields = document.fields or {}
    text = fields.get("text")
    return {**fields, "text": text if isinstance(text, str) else document.text}
