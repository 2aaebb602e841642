"""Parts of replies that several dialects share: usage, details and results."""

import math
from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from gateway.domain.errors import EngineFailed
from gateway.domain.request import Document, RerankRequest, RerankResult, Scored, Source


class Usage(Struct):
    """Input tokens; a reranker generates none."""

    prompt_tokens: int
    total_tokens: int


class FullUsage(Struct):
    """Usage in the format of chat APIs."""

    prompt_tokens: int
    total_tokens: int
    completion_tokens: int = 0


class TokenDetails(Struct):
    """Tokens that were not computed for this request, in the format of OpenAI and vLLM."""

    cached_tokens: int


class Span(Struct):
    """A part of a document, in characters (code points), `end` exclusive."""

    start: int
    end: int


class Details(Struct, kw_only=True):
    """Fields of a result beside the score, with `return_details`.

    `span` is the best passage, or the whole document; it is missing where a document was cut.
    `source` is missing where the score was computed for this document. `stage` is the model of a
    cascade that scored the document last.
    """

    margin: float | UnsetType = UNSET
    tokens: int | UnsetType = UNSET
    truncated: bool | UnsetType = UNSET
    passages: int | UnsetType = UNSET
    span: Span | UnsetType = UNSET
    source: Source | UnsetType = UNSET
    stage: str | UnsetType = UNSET


class TextResult(Details):
    """One document's score; `document` is a string, only with `return_documents`."""

    relevance_score: float
    index: int
    document: str | UnsetType = UNSET


class ObjectResult(Details):
    """One document's score; `document` is an object with `text`, only with `return_documents`."""

    index: int
    relevance_score: float
    document: Mapping[str, object] | UnsetType = UNSET


def result_details(request: RerankRequest, scored: Scored) -> dict[str, Any]:
    """Return the fields of `Details`, if the request has `return_details`."""
    if not request.return_details:
        return {}
    span = scored.span
    if span is None and not scored.truncated:
        span = (0, len(request.documents[scored.index].text))
    return {
        "margin": scored.margin,
        "tokens": scored.tokens,
        "truncated": scored.truncated,
        "passages": scored.passages,
        "span": Span(*span) if span else UNSET,
        "source": scored.source if scored.source != "computed" else UNSET,
        "stage": scored.stage or UNSET,
    }


def cached_token_details(result: RerankResult) -> TokenDetails | None:
    """Return the count of tokens that came from a cache, if there are any."""
    return TokenDetails(result.saved_tokens) if result.saved_tokens else None


def usage(result: RerankResult) -> Usage:
    return Usage(result.tokens, result.tokens)


def full_usage(result: RerankResult) -> FullUsage:
    return FullUsage(result.tokens, result.tokens)


def text_results(request: RerankRequest, result: RerankResult) -> list[TextResult]:
    """Return the best documents, with their texts if requested."""
    return [
        TextResult(
            reported_score(request, scored),
            scored.index,
            request.documents[scored.index].text if request.return_documents else UNSET,
            **result_details(request, scored),
        )
        for scored in result.top
    ]


def object_results(request: RerankRequest, result: RerankResult) -> list[ObjectResult]:
    """Return the best documents, with their objects if requested."""
    return [
        ObjectResult(
            scored.index,
            reported_score(request, scored),
            document_object(request.documents[scored.index]) if request.return_documents else UNSET,
            **result_details(request, scored),
        )
        for scored in result.top
    ]


def scores_in_order(request: RerankRequest, result: RerankResult) -> list[float]:
    """Return the score of every document, in input order."""
    return [reported_score(request, scored) for scored in result.scored]


def details_in_order(request: RerankRequest, result: RerankResult) -> list[Details] | UnsetType:
    """Return the details of every document, in input order, if the request asks for them."""
    if not request.return_details:
        return UNSET
    return [Details(**result_details(request, scored)) for scored in result.scored]


def reported_score(request: RerankRequest, scored: Scored) -> float:
    """Return the score in the reply: the relevance score, or the margin with `raw_scores`.

    Raises:
        EngineFailed: the score is not finite; no reply has null or NaN in place of a score.
    """
    if not math.isfinite(scored.margin):
        raise EngineFailed(
            f"the model gave no finite score for document {scored.index}; the reply is withheld"
        )
    return scored.margin if request.raw_scores else scored.relevance_score


def document_object(document: Document) -> Mapping[str, object]:
    """Return the client's object with all its fields; `text` is always a string."""
    fields = document.fields
    if fields is None:
        return {"text": document.text}
    text = fields.get("text")
    return {**fields, "text": text if isinstance(text, str) else document.text}
