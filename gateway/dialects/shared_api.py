"""The shared rerank API: one reply in which every client finds the fields that it reads.

Cohere, Jina, Voyage, Together, vLLM, infinity and their adapters send nearly the same request to
nearly the same paths, so the reply is the union of theirs, without anything that breaks one of
them:

- `document` is there only with `return_documents`, never null, and an object with `text`;
- `object` is `rerank`, for Voyage's requests `list`; infinity's client and Voyage's for Node check
  it. Token counts are integers, `usage`, `meta`, `model` and `id` always there;
- `data`, which Voyage's clients and Continue read, is there unless the request has a `top_n` key,
  which none of them sends. Its `document` is a string, and only for requests with `top_k` or
  `truncation`, as Voyage's clients always do.

Documents that are objects without `text` are read as YAML, as Cohere's rerank-v4.0 reads them.

Where the vendors' replies contradict each other, their prefixes distinguish them.
"""

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from gateway.dialects.base import Contract, Limits, SharedErrors
from gateway.dialects.reply_fields import (
    FullUsage,
    ObjectResult,
    TokenDetails,
    cached_token_details,
    object_results,
    reported_score,
)
from gateway.dialects.request_body import RerankBody
from gateway.dialects.request_parser import parse_request
from gateway.domain.request import RerankRequest, RerankResult, Scored

_VOYAGE_KEYS = frozenset({"top_k", "truncation"})
_VOYAGE_FIELDS = _VOYAGE_KEYS | {"model", "query", "documents", "return_documents"}


class DataResult(Struct):
    """One document's score in `data`."""

    index: int
    relevance_score: float
    document: str | UnsetType = UNSET


class ApiVersion(Struct):
    """Cohere's version of the API."""

    version: str


class BilledUnits(Struct):
    """Cohere's unit of billing."""

    search_units: int


class Tokens(Struct):
    """Cohere's count of tokens."""

    input_tokens: int
    output_tokens: int = 0


class Meta(Struct):
    """Metadata of Cohere's reply."""

    api_version: ApiVersion
    billed_units: BilledUnits
    tokens: Tokens
    warnings: Sequence[str] | UnsetType = UNSET


class SharedUsage(FullUsage):
    """Input tokens, and those of them that came from a cache."""

    prompt_tokens_details: TokenDetails | UnsetType = UNSET


class SharedReply(Struct, kw_only=True):
    """The union of the replies of Cohere, Jina, Voyage, Together, vLLM and infinity."""

    id: str
    object: Literal["rerank", "list"] = "rerank"
    created: int
    model: str
    results: Sequence[ObjectResult]
    data: Sequence[DataResult] | UnsetType = UNSET
    usage: SharedUsage
    meta: Meta


class SharedDialect(SharedErrors):
    """The shared API under a name; Cohere's, Jina's and the gateway's own are instances of it."""

    def __init__(self, name: str, api_version: str, contract: Contract) -> None:
        self.name = name
        self.api_version = api_version
        self.contract = contract

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        return parse_request(body, limits, as_yaml=True)

    def render(self, request: RerankRequest, result: RerankResult) -> SharedReply:
        return SharedReply(
            results=object_results(request, result), **self.envelope(request, result)
        )

    def envelope(self, request: RerankRequest, result: RerankResult) -> dict[str, Any]:
        """Return the fields of the reply beside `results`."""
        data = [_data_result(request, scored) for scored in result.top]
        return {
            "id": result.id,
            "object": "list" if is_voyage(request.fields_set) else "rerank",
            "created": result.created,
            "model": result.model,
            "data": UNSET if "top_n" in request.fields_set else data,
            "usage": _usage(result),
            "meta": Meta(
                ApiVersion(self.api_version),
                BilledUnits(result.search_units),
                Tokens(result.tokens),
                result.warnings or UNSET,
            ),
        }


def is_voyage(fields: frozenset[str]) -> bool:
    """Return whether a request with these fields comes from a client of Voyage.

    No other API has `truncation` without `top_n`. Others have `top_k`, with fields of their own.
    """
    if "top_n" in fields:
        return False
    return "truncation" in fields or ("top_k" in fields and fields <= _VOYAGE_FIELDS)


def _usage(result: RerankResult) -> SharedUsage:
    return SharedUsage(
        result.tokens, result.tokens, prompt_tokens_details=cached_token_details(result) or UNSET
    )


def _data_result(request: RerankRequest, scored: Scored) -> DataResult:
    has_text = request.return_documents and request.fields_set & _VOYAGE_KEYS
    text = request.documents[scored.index].text if has_text else UNSET
    return DataResult(scored.index, reported_score(request, scored), text)


SHARED_REQUEST_FIELDS = ("top_n", "top_k", "return_documents", "rank_fields")
"""Fields of the shared API beside `query` and `documents`."""
