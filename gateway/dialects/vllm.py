"""vLLM's rerank and score APIs.

`/rerank`: Jina's, but the document always comes back, and any `top_n` up to 0 means all.
`/score`: one query for all documents or one for each, under any of four pairs of names; the scores
are in input order. Multimodal objects are read as far as they are text.

Where a text is too long vLLM refuses unless `truncate_prompt_tokens` is there; here it is cut and
that is reported, as everywhere.
"""

from typing import Literal

import msgspec
from msgspec import Struct

from gateway.dialects.base import Contract, Limits, SharedErrors
from gateway.dialects.body import RerankBody, Text
from gateway.dialects.documents import read_documents, read_query
from gateway.dialects.fields import sent
from gateway.dialects.reading import read_request, read_shared
from gateway.dialects.showing import (
    Details,
    TokenDetails,
    Usage,
    details,
    saved,
    shown_score,
    usage,
)
from gateway.domain import RerankRequest, RerankResult
from gateway.errors import InvalidRequest

_SIDES = (
    ("text_1", "text_2"),
    ("data_1", "data_2"),
    ("queries", "documents"),
    ("queries", "items"),
)
"""The names of queries and documents at `/score`, by age."""


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
        fields=("top_n",),
        reply=VllmReply,
        example={
            "query": "capital of France",
            "documents": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
            "top_n": 1,
            "use_activation": True,
        },
    )

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        if (sent(body.top_n) or 0) < 0:
            body = msgspec.structs.replace(body, top_n=0)
        return read_request(body, limits)

    def render(self, request: RerankRequest, result: RerankResult) -> VllmReply:
        results = [
            VllmResult(
                scored.index,
                VllmDocument(request.documents[scored.index].text),
                shown_score(request, scored),
                **details(request, scored),
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
    """Tokens that were read, as vLLM counts them."""

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
        asked, about = _sides(body)
        documents = read_documents(getattr(body, about), about, limits)
        return RerankRequest(
            queries=_read_queries(getattr(body, asked), asked, len(documents), limits),
            documents=documents,
            documents_field=about,
            **read_shared(body, limits),
        )

    def render(self, request: RerankRequest, result: RerankResult) -> VllmScoreReply:
        return VllmScoreReply(
            id=result.id,
            created=result.created,
            model=result.model,
            data=[
                VllmScore(
                    index=scored.index,
                    score=shown_score(request, scored),
                    **details(request, scored),
                )
                for scored in result.scored
            ],
            usage=VllmScoreUsage(result.tokens, result.tokens, prompt_tokens_details=saved(result)),
        )


def _sides(body: RerankBody) -> tuple[str, str]:
    """Return the names under which queries and documents were sent."""
    for names in _SIDES:
        if all(sent(getattr(body, name)) is not None for name in names):
            return names
    for asked, about in _SIDES:
        if sent(getattr(body, asked)) is not None:
            raise InvalidRequest(f"{about} is missing: send the texts to score", param=about)
    raise InvalidRequest(
        "text_1 is missing: send text_1 and text_2, or queries and documents", param="text_1"
    )


def _read_queries(
    value: list[Text] | str, name: str, documents: int, limits: Limits
) -> tuple[str, ...]:
    """Read one query for all documents, or one for each."""
    if isinstance(value, str):
        return (read_query(value, name, limits),)
    if len(value) not in {1, documents}:
        raise InvalidRequest(
            f"{name} has {len(value)} texts for {documents} documents: send one, or one for each",
            param=name,
        )
    return tuple([read_query(one, f"{name}[{i}]", limits) for i, one in enumerate(value)])


VLLM = Vllm()
VLLM_SCORE = Score()
