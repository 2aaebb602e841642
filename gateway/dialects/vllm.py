"""vLLM's rerank and score APIs.

`/rerank`: Jina's, but every result has its document, and any `top_n` up to 0 means all.
`/score`: one query for all documents or one for each, under any of four pairs of names; the scores
are in input order. A query that is an object may have an `instruction` of its own. Multimodal
objects are accepted if all their parts are text.

vLLM rejects a text that is too long, unless the request has `truncate_prompt_tokens`; here it is
cut with a warning, as in every dialect, and `truncate_prompt_tokens` lowers the limit.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from gateway.dialects.base import Contract, Limits, SharedErrors
from gateway.dialects.field_parsers import parse_own_instruction, value_or_none
from gateway.dialects.reply_fields import (
    Details,
    TokenDetails,
    Usage,
    cached_token_details,
    reported_score,
    result_details,
    usage,
)
from gateway.dialects.request_body import RerankBody, Text
from gateway.dialects.request_parser import (
    parse_documents,
    parse_query,
    parse_request,
    parse_shared_fields,
)
from gateway.domain.errors import InvalidRequest
from gateway.domain.request import Document, RerankRequest, RerankResult

_FIELD_PAIRS = (
    ("text_1", "text_2"),
    ("data_1", "data_2"),
    ("queries", "documents"),
    ("queries", "items"),
)
"""Names of queries and documents at `/score`, the oldest first."""


class VllmDocument(Struct):
    """A document as vLLM returns it."""

    text: str
    multi_modal: None = None


class VllmResult(Details):
    """One document's score."""

    index: int
    document: VllmDocument
    relevance_score: float


class VllmReply(Struct):
    """vLLM's reply to a rerank request."""

    id: str
    model: str
    usage: Usage
    results: list[VllmResult]


class Vllm(SharedErrors):
    """The dialect of vLLM's rerank paths."""

    name = "vllm"
    contract = Contract(
        title="vLLM rerank",
        required=("query", "documents"),
        fields=("top_n", "top_k", "rank_fields"),
        reply=VllmReply,
        example={
            "query": "capital of France",
            "documents": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
            "top_n": 1,
            "use_activation": True,
        },
    )

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        if (value_or_none(body.top_n) or 0) < 0:
            body = msgspec.structs.replace(body, top_n=0)
        return parse_request(body, limits)

    def render(self, request: RerankRequest, result: RerankResult) -> VllmReply:
        results = [
            VllmResult(
                scored.index,
                VllmDocument(request.documents[scored.index].text),
                reported_score(request, scored),
                **result_details(request, scored),
            )
            for scored in result.top
        ]
        return VllmReply(result.id, result.model, usage(result), results)


class VllmScore(Details, kw_only=True):
    """One pair's score."""

    index: int
    object: Literal["score"] = "score"
    score: float


class VllmScoreUsage(Struct):
    """Input tokens in vLLM's format."""

    prompt_tokens: int
    total_tokens: int
    completion_tokens: int = 0
    prompt_tokens_details: TokenDetails | None = None


class VllmScoreReply(Struct, kw_only=True):
    """vLLM's reply to a score request."""

    id: str
    object: Literal["list"] = "list"
    created: int
    model: str
    data: list[VllmScore]
    usage: VllmScoreUsage


class Score(SharedErrors):
    """The dialect of vLLM's score paths."""

    name = "vllm_score"
    contract = Contract(
        title="vLLM score",
        required=(),
        fields=("text_1", "text_2", "data_1", "data_2", "queries", "documents", "items"),
        reply=VllmScoreReply,
        example={
            "text_1": "capital of France",
            "text_2": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
        },
    )

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        queries_field, documents_field = _field_pair(body)
        documents = parse_documents(getattr(body, documents_field), documents_field, limits)
        _refuse_instructions(documents, documents_field, queries_field, limits)
        return RerankRequest(
            queries=_parse_queries(
                getattr(body, queries_field), queries_field, len(documents), limits
            ),
            documents=documents,
            documents_field=documents_field,
            queries_field=queries_field,
            **_instructed(
                parse_shared_fields(body, limits),
                getattr(body, queries_field),
                queries_field,
                limits,
            ),
        )

    def render(self, request: RerankRequest, result: RerankResult) -> VllmScoreReply:
        return VllmScoreReply(
            id=result.id,
            created=result.created,
            model=result.model,
            data=[
                VllmScore(
                    index=scored.index,
                    score=reported_score(request, scored),
                    **result_details(request, scored),
                )
                for scored in result.scored
            ],
            usage=VllmScoreUsage(
                result.tokens, result.tokens, prompt_tokens_details=cached_token_details(result)
            ),
        )


def _field_pair(body: RerankBody) -> tuple[str, str]:
    """Return the names under which the client sent queries and documents."""
    for names in _FIELD_PAIRS:
        if all(value_or_none(getattr(body, name)) is not None for name in names):
            return names
    for queries, documents in _FIELD_PAIRS:
        if value_or_none(getattr(body, queries)) is not None:
            raise InvalidRequest(
                f"{documents} is missing: send the texts to score", param=documents
            )
    raise InvalidRequest(
        "text_1 is missing: send text_1 and text_2, or queries and documents", param="text_1"
    )


def _parse_queries(
    value: list[Text] | str, name: str, documents: int, limits: Limits
) -> tuple[str, ...]:
    """Parse one query for all documents, or one for each."""
    if isinstance(value, str):
        return (parse_query(value, name, limits),)
    if len(value) not in {1, documents}:
        raise InvalidRequest(
            f"{name} has {len(value)} texts for {documents} documents: send one, or one for each",
            param=name,
        )
    return tuple([parse_query(query, f"{name}[{i}]", limits) for i, query in enumerate(value)])


def _instructed(
    shared: dict[str, Any], value: list[Text] | str, name: str, limits: Limits
) -> dict[str, Any]:
    """Return the shared fields with the instructions that queries have of their own."""
    queries = [] if isinstance(value, str) else value
    found = [
        "" if isinstance(query, str) else parse_own_instruction(query, f"{name}[{i}]", limits)
        for i, query in enumerate(queries)
    ]
    if not any(found):
        return shared
    if len(found) == 1:  # the query of all documents
        return {**shared, "instruction": found[0]}
    return {**shared, "instructions": tuple(found)}


def _refuse_instructions(
    documents: Sequence[Document], name: str, queries_name: str, limits: Limits
) -> None:
    """Refuse an instruction beside a document: it would be read as a part of its pair."""
    for i, document in enumerate(documents):
        place = f"{name}[{i}]"
        if document.fields and parse_own_instruction(document.fields, place, limits):
            raise InvalidRequest(
                f"{place} has an instruction, which belongs to a query: send it in "
                f"{queries_name}[{i}], or for all pairs beside {name}",
                param=place,
            )


VLLM = Vllm()
VLLM_SCORE = Score()
