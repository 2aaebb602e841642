"""The rerank APIs as a client speaks them: what `gateway rerank --url` sends, and where scores are.

One line each in `SPOKEN`; the names are those of the gateway's own dialects. So this server and
others can be asked, and compared, in any of the APIs.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.domain import sigmoid

ENDPOINTS = ("/rerank", "/reranking", "/score", "/ranking")
"""A URL that ends like this is taken as it is."""

Body = dict[str, Any]
Found = Iterable[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Spoken:
    """How one API is asked.

    Attributes:
        path: where, below the base URL.
        body: the request for a query and documents.
        scores: index and relevance score of each result in the reply.
    """

    path: str
    body: Callable[[str, Sequence[str]], Body]
    scores: Callable[[Any], Found]

    def url(self, base: str) -> str:
        """Return where to send requests."""
        base = base.rstrip("/")
        return base if base.endswith(ENDPOINTS) else base + self.path

    def base(self, url: str) -> str:
        """Return where the server is, without a path of an API."""
        return url.rstrip("/").removesuffix(_ending(url.rstrip("/"))).removesuffix("/v1")


def _ending(url: str) -> str:
    return next((one for one in ENDPOINTS if url.endswith(one)), "")


def _documents(field: str) -> Callable[[str, Sequence[str]], Body]:
    return lambda query, documents: {"query": query, field: documents}


def _texts(query: str, documents: Sequence[str]) -> Body:
    return {"text_1": query, "text_2": documents}


def _passages(query: str, documents: Sequence[str]) -> Body:
    passages = [{"text": document} for document in documents]
    return {"query": {"text": query}, "passages": passages, "truncate": "END"}


def _pairs(query: str, documents: Sequence[str]) -> Body:
    return {"pairs": [{"query": query, "passage": document} for document in documents]}


def _found(key: str, score: str) -> Callable[[Any], Found]:
    """Return a reader of the list under a key, or of the reply itself if there is none."""
    return lambda reply: [(one["index"], one[score]) for one in (reply[key] if key else reply)]


DETAILS = ("margin", "tokens", "truncated", "passages", "span")
"""What results say more if they are asked for `return_details`."""


def found_details(reply: Any) -> dict[int, Body]:
    """Return what a reply of ours, in any API, says of each document, by its index."""
    if isinstance(reply, dict):
        names = ("results", "rankings", "details", "data")
        reply = next((reply[name] for name in names if name in reply), ())
    return {
        one.get("index", place): {name: one[name] for name in DETAILS if name in one}
        for place, one in enumerate(reply)
        if isinstance(one, dict)
    }


def _logits(reply: Mapping[str, Any]) -> Found:
    return [(one["index"], sigmoid(one["logit"])) for one in reply["rankings"]]


_SHARED, _RESULTS = _documents("documents"), _found("results", "relevance_score")

SPOKEN: dict[str, Spoken] = {
    "jina": Spoken("/v1/rerank", _SHARED, _RESULTS),
    "cohere": Spoken("/v2/rerank", _SHARED, _RESULTS),
    "cohere_v1": Spoken("/v1/rerank", _SHARED, _RESULTS),
    "voyage": Spoken("/v1/rerank", _SHARED, _found("data", "relevance_score")),
    "tei": Spoken("/rerank", _documents("texts"), _found("", "score")),
    "vllm": Spoken("/rerank", _SHARED, _RESULTS),
    "vllm_score": Spoken("/score", _texts, _found("data", "score")),
    "infinity": Spoken("/rerank", _SHARED, _RESULTS),
    "llamacpp": Spoken("/v1/reranking", _SHARED, _RESULTS),
    "mixedbread": Spoken("/v1/reranking", _documents("input"), _found("data", "score")),
    "together": Spoken("/v1/rerank", _SHARED, _RESULTS),
    "litellm": Spoken("/rerank", _SHARED, _RESULTS),
    "nim": Spoken("/v1/ranking", _passages, _logits),
    "native": Spoken("/rerank", _SHARED, _found("results", "score")),
    "pairs": Spoken("/rerank", _pairs, lambda reply: enumerate(reply["scores"])),
}
