"""From a result to a reply: what several dialects show in the same way."""

import math
from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from gateway.domain import Document, RerankRequest, RerankResult, Scored
from gateway.errors import EngineFailed


class Usage(Struct):
    """Tokens that were read; nothing is ever generated."""

    prompt_tokens: int
    total_tokens: int


class FullUsage(Struct):
    """The same, as chat APIs have it."""

    prompt_tokens: int
    total_tokens: int
    completion_tokens: int = 0


class TokenDetails(Struct):
    """How many of the tokens were not computed for this request; as OpenAI and vLLM say it."""

    cached_tokens: int


class Span(Struct):
    """A part of a document, in characters (code points), the end left out."""

    start: int
    end: int


class Details(Struct, kw_only=True):
    """What results say beside the score, with `return_details`.

    `span` is the best passage, or the whole document; it is left out where a document was cut.
    """

    margin: float | UnsetType = UNSET
    tokens: int | UnsetType = UNSET
    truncated: bool | UnsetType = UNSET
    passages: int | UnsetType = UNSET
    span: Span | UnsetType = UNSET


class TextResult(Details):
    """One document's score; `document` is a string, and there only when asked for."""

    relevance_score: float
    index: int
    document: str | UnsetType = UNSET


class ObjectResult(Details):
    """One document's score; `document` is an object with `text`, and there only when asked for."""

    index: int
    relevance_score: float
    document: Mapping[str, object] | UnsetType = UNSET


def details(request: RerankRequest, scored: Scored) -> dict[str, Any]:
    """Return the fields of `Details`, if they were asked for."""
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
    }


def saved(result: RerankResult) -> TokenDetails | None:
    """Return how much of a request cost nothing, if anything did."""
    return TokenDetails(result.saved_tokens) if result.saved_tokens else None


def usage(result: RerankResult) -> Usage:
    return Usage(result.tokens, result.tokens)


def full_usage(result: RerankResult) -> FullUsage:
    return FullUsage(result.tokens, result.tokens)


def text_results(request: RerankRequest, result: RerankResult) -> list[TextResult]:
    """Return the best documents, with their texts if asked for."""
    return [
        TextResult(
            shown_score(request, scored),
            scored.index,
            request.documents[scored.index].text if request.return_documents else UNSET,
            **details(request, scored),
        )
        for scored in result.top
    ]


def object_results(request: RerankRequest, result: RerankResult) -> list[ObjectResult]:
    """Return the best documents, with their objects if asked for."""
    return [
        ObjectResult(
            scored.index,
            shown_score(request, scored),
            shown_object(request.documents[scored.index]) if request.return_documents else UNSET,
            **details(request, scored),
        )
        for scored in result.top
    ]


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


def shown_object(document: Document) -> Mapping[str, object]:
    """Return the client's object with all its fields; `text` is a string in any case."""
    fields = document.fields
    if fields is None:
        return {"text": document.text}
    text = fields.get("text")
    return {**fields, "text": text if isinstance(text, str) else document.text}
