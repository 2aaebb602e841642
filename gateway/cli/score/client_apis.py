"""Rerank APIs from the client's side: requests of `gateway rerank --url`, and scores in replies.

`CLIENT_APIS` has one entry for each; the names are those of the gateway's own dialects. So this
server and others can be used, and compared, in any of the APIs.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

from gateway.domain.request import sigmoid

DETAILS = ("margin", "tokens", "truncated", "passages", "span", "source", "stage")
"""Further fields of results, on request (`return_details`)."""

PINECONE_VERSION = "2025-10"

Body = dict[str, Any]
Results = Iterable[tuple[int, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class ClientApi:
    """Requests and replies of one API.

    Attributes:
        path: path of the endpoint, below the base URL.
        body: builds the request for a query and documents.
        results: returns each result in a reply, by the index of its document.
        score: name of the score in a result.
        is_margin: True if that is the margin before the sigmoid.
        headers: headers of every request.
        key_header: the header of the API key; a bearer token if it is `authorization`.
    """

    path: str
    body: Callable[[str, Sequence[str]], Body]
    results: Callable[[Any], Results]
    score: str = "relevance_score"
    is_margin: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    key_header: str = "authorization"

    def url(self, base: str) -> str:
        """Return the URL of the endpoint."""
        base = base.rstrip("/")
        return base if is_endpoint(base) else base + self.path

    def base(self, url: str) -> str:
        """Return the URL of the server, without the path of an API."""
        url = url.rstrip("/")
        for path in (self.path, _ending(url)):
            url = url.removesuffix(path)
        return url.removesuffix("/v1")

    def request_headers(self, api_key: str | None) -> dict[str, str]:
        """Return the headers of every request with a key, or with none."""
        if not api_key:
            return {**self.headers}
        is_bearer = self.key_header == "authorization"
        return {**self.headers, self.key_header: f"Bearer {api_key}" if is_bearer else api_key}

    def scores(self, reply: Any) -> dict[int, float]:
        """Return the relevance score of each document in a reply, by its index."""
        found = {index: result[self.score] for index, result in self.results(reply)}
        if self.is_margin:
            return {index: sigmoid(margin) for index, margin in found.items()}
        return found

    def details(self, reply: Any) -> dict[int, Body]:
        """Return the details in a reply of the gateway, by the index of the document."""
        return {
            index: {name: result[name] for name in DETAILS if name in result}
            for index, result in self.results(reply)
        }


def is_endpoint(url: str) -> bool:
    """Return whether a URL is that of an endpoint, which is used as it is."""
    return bool(_ending(url.rstrip("/")))


def _ending(url: str) -> str:
    return next((ending for ending in _ENDINGS if url.endswith(ending)), "")


def _documents(name: str, **options: object) -> Callable[[str, Sequence[str]], Body]:
    return lambda query, documents: {"query": query, name: documents, **options}


def _texts(query: str, documents: Sequence[str]) -> Body:
    return {"text_1": query, "text_2": documents}


def _passages(query: str, documents: Sequence[str]) -> Body:
    return {"query": {"text": query}, "passages": _objects(documents), "truncate": "END"}


def _pairs(query: str, documents: Sequence[str]) -> Body:
    return {"pairs": [{"query": query, "passage": document} for document in documents]}


def _inputs(query: str, documents: Sequence[str]) -> Body:
    return {"inputs": [(query, document) for document in documents]}


def _nested(query: str, documents: Sequence[str]) -> Body:
    return {"input": {"query": query, "documents": documents}}


def _without_documents(query: str, documents: Sequence[str]) -> Body:
    return {"query": query, "documents": _objects(documents), "return_documents": False}


def _records(query: str, documents: Sequence[str]) -> Body:
    records = [{"id": str(index), "content": text} for index, text in enumerate(documents)]
    return {"query": query, "records": records, "ignoreRecordDetailsInResponse": True}


def _objects(documents: Sequence[str]) -> list[Body]:
    return [{"text": document} for document in documents]


def _list(*keys: str) -> Callable[[Any], Results]:
    """Return a reader of the list below these keys, whose results have an index."""
    return lambda reply: [(result["index"], result) for result in _below(reply, keys)]


def _results_or_data(reply: Mapping[str, Any]) -> Results:
    """Return Voyage's `data`, or `results` where there are both: only these have details."""
    return _list("results" if "results" in reply else "data")(reply)


def _in_order(*keys: str) -> Callable[[Any], Results]:
    """Return a reader of the list below these keys, whose results are in input order."""
    return lambda reply: enumerate(_below(reply, keys))


def _below(reply: Any, keys: Iterable[str]) -> Any:
    for key in keys:
        reply = reply[key]
    return reply


def _scores(reply: Mapping[str, Any]) -> Results:
    """Return results in input order, from scores and details in lists of their own."""
    details = reply.get("details", repeat({}))
    each = zip(reply["scores"], details, strict=False)
    return enumerate({**found, "score": score} for score, found in each)


def _predictions(reply: Sequence[Any]) -> Results:
    """Return results in input order; each may be in a list, beside those of further labels."""
    return enumerate(labels[0] if isinstance(labels, list) else labels for labels in reply)


def _records_by_id(reply: Mapping[str, Any]) -> Results:
    return [(int(record["id"]), record) for record in reply["records"]]


_SHARED, _RESULTS = _documents("documents"), _list("results")

CLIENT_APIS: dict[str, ClientApi] = {
    "jina": ClientApi("/v1/rerank", _SHARED, _RESULTS),
    "cohere": ClientApi("/v2/rerank", _SHARED, _RESULTS),
    "cohere_v1": ClientApi("/v1/rerank", _SHARED, _RESULTS),
    "voyage": ClientApi("/v1/rerank", _SHARED, _results_or_data),
    "tei": ClientApi("/rerank", _documents("texts"), _list(), "score"),
    "vllm": ClientApi("/rerank", _SHARED, _RESULTS),
    "vllm_score": ClientApi("/score", _texts, _list("data"), "score"),
    "infinity": ClientApi("/rerank", _SHARED, _RESULTS),
    "llamacpp": ClientApi("/v1/reranking", _SHARED, _RESULTS),
    "mixedbread": ClientApi("/v1/reranking", _documents("input"), _list("data"), "score"),
    "together": ClientApi("/v1/rerank", _SHARED, _RESULTS),
    "litellm": ClientApi("/rerank", _SHARED, _RESULTS),
    "nim": ClientApi("/v1/ranking", _passages, _list("rankings"), "logit", is_margin=True),
    "native": ClientApi("/rerank", _SHARED, _RESULTS, "score"),
    "pairs": ClientApi("/rerank", _pairs, _scores, "score"),
    "dashscope": ClientApi("/v1/reranks", _SHARED, _RESULTS),
    "dashscope_native": ClientApi(
        "/api/v1/services/rerank/text-rerank/text-rerank", _nested, _list("output", "results")
    ),
    "zeroentropy": ClientApi("/v1/models/rerank", _SHARED, _RESULTS),
    "pinecone": ClientApi(
        "/rerank",
        _without_documents,
        _list("data"),
        "score",
        headers={"x-pinecone-api-version": PINECONE_VERSION},
        key_header="api-key",
    ),
    "sglang": ClientApi(
        "/v1/rerank", _documents("documents", return_documents=False), _list(), "score"
    ),
    "weaviate": ClientApi("/rerank", _SHARED, _in_order("scores"), "score"),
    "google": ClientApi(
        "/rankingConfigs/default_ranking_config:rank", _records, _records_by_id, "score"
    ),
    "huggingface": ClientApi("/predict", _inputs, _predictions, "score"),
    "mosec": ClientApi("/inference", _documents("docs"), _scores, "score"),
}

_ENDINGS = tuple({f"/{api.path.rpartition('/')[2]}": None for api in CLIENT_APIS.values()})
"""The last segments of the paths of endpoints."""
