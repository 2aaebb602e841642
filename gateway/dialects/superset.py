"""The shared rerank API: one reply in which every client finds the fields that it reads.

Cohere, Jina, Voyage, Together, vLLM, infinity and their adapters send nearly the same request to
nearly the same paths, so the reply is the union of theirs, and keeps off what one of them breaks
on:

- `document` is there only when asked for, is never null, and is an object with `text`;
- `object` is `rerank`, token counts are integers, `usage`, `meta`, `model` and `id` always there;
- `data`, where Voyage's clients and Continue look, is there unless the request has a `top_n` key,
  which none of them sends. Its `document` is a string, and only for those who sent `top_k` or
  `truncation`, as Voyage's clients always do.

Where the vendors' replies contradict each other, their prefixes tell them apart.
"""

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from gateway.dialects.base import Contract, Limits, SharedErrors
from gateway.dialects.body import RerankBody
from gateway.dialects.reading import read_request
from gateway.dialects.showing import (
    FullUsage,
    ObjectResult,
    TokenDetails,
    object_results,
    saved,
    shown_score,
)
from gateway.domain import RerankRequest, RerankResult, Scored

_VOYAGE_KEYS = frozenset({"top_k", "truncation"})


class DataResult(Struct):
    """One document's score for those who read `data`."""

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
    """What Cohere says beside the results."""

    api_version: ApiVersion
    billed_units: BilledUnits
    tokens: Tokens
    warnings: Sequence[str] | UnsetType = UNSET


class SharedUsage(FullUsage):
    """Tokens that were read, and those of them that cost nothing if there are any."""

    prompt_tokens_details: TokenDetails | UnsetType = UNSET


class SharedReply(Struct, kw_only=True):
    """The union of the replies of Cohere, Jina, Voyage, Together, vLLM and infinity."""

    id: str
    object: Literal["rerank"] = "rerank"
    created: int
    model: str
    results: Sequence[ObjectResult]
    data: Sequence[DataResult] | UnsetType = UNSET
    usage: SharedUsage
    meta: Meta


class Superset(SharedErrors):
    """The shared API under one name; the vendors' own are instances or subclasses."""

    def __init__(self, name: str, api_version: str, contract: Contract) -> None:
        self.name = name
        self.api_version = api_version
        self.contract = contract

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        return read_request(body, limits)

    def render(self, request: RerankRequest, result: RerankResult) -> SharedReply:
        return SharedReply(
            results=object_results(request, result), **self.beside_results(request, result)
        )

    def beside_results(self, request: RerankRequest, result: RerankResult) -> dict[str, Any]:
        """Return what the reply has beside `results`."""
        data = [_data_result(request, scored) for scored in result.top]
        return {
            "id": result.id,
            "created": result.created,
            "model": result.model,
            "data": UNSET if "top_n" in request.keys else data,
            "usage": _usage(result),
            "meta": Meta(
                ApiVersion(self.api_version),
                BilledUnits(result.search_units),
                Tokens(result.tokens),
                result.warnings or UNSET,
            ),
        }


def _usage(result: RerankResult) -> SharedUsage:
    return SharedUsage(result.tokens, result.tokens, prompt_tokens_details=saved(result) or UNSET)


def _data_result(request: RerankRequest, scored: Scored) -> DataResult:
    shows = request.return_documents and request.keys & _VOYAGE_KEYS
    text = request.documents[scored.index].text if shows else UNSET
    return DataResult(scored.index, shown_score(request, scored), text)


SHARED_REQUEST = ("top_n", "top_k", "return_documents", "rank_fields")
"""What the shared API reads beside `query` and `documents`."""
