"""text-embeddings-inference: `texts` in, a bare list of scores out, no model name anywhere.

Best first, ties by index. `top_n` is not TEI's, but LiteLLM sends it here and it is honoured.
Errors have TEI's `error` (a string) and `error_type`, and `message` and `detail` beside them.
`GET /info` says what clients ask before they send anything.
"""

from msgspec import UNSET, Struct, UnsetType

from gateway.dialects.base import Contract, Limits
from gateway.dialects.body import RerankBody
from gateway.dialects.reading import read_request
from gateway.dialects.showing import Details, details, shown_score
from gateway.domain import RerankRequest, RerankResult, Scored
from gateway.errors import GatewayError

_ERROR_TYPES = {
    "overloaded": "Overloaded",
    "rate_limit_exceeded": "Overloaded",
    "concurrency_limit_exceeded": "Overloaded",
    "model_unavailable": "Unhealthy",
    "shutting_down": "Unhealthy",
}
"""TEI's names for our codes; the others are `Validation` (the client's) or `Backend` (ours)."""


class TeiResult(Details):
    """One text's score; `text` is there only when asked for."""

    index: int
    score: float
    text: str | UnsetType = UNSET


class TeiError(Struct):
    """TEI's error, and where the others' clients look."""

    error: str
    error_type: str
    message: str
    detail: str


class TeiLabels(Struct):
    """The one output of a reranker."""

    id2label: dict[str, str]
    label2id: dict[str, int]


class TeiModelType(Struct):
    """What kind of model is served."""

    reranker: TeiLabels


class TeiInfo(Struct, kw_only=True):
    """The reply of `/info`; null is what a gateway has not."""

    model_id: str
    model_sha: str | None = None
    model_dtype: str
    served_model_name: str
    model_type: TeiModelType
    max_concurrent_requests: int
    max_input_length: int
    max_batch_tokens: int
    max_batch_requests: int | None = None
    max_client_batch_size: int
    auto_truncate: bool = True
    tokenization_workers: int
    version: str
    sha: str | None = None
    docker_label: str | None = None


RERANKER = TeiModelType(TeiLabels({"0": "LABEL_0"}, {"LABEL_0": 0}))


class Tei:
    """The dialect of a TEI reranker."""

    name = "tei"
    contract = Contract(
        title="text-embeddings-inference",
        required=("query", "texts"),
        fields=("return_text", "top_n"),
        reply=list[TeiResult],
        error=TeiError,
        example={
            "query": "capital of France",
            "texts": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
            "return_text": True,
            "truncate": True,
        },
    )

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        return read_request(body, limits, documents="texts", returns="return_text")

    def render(self, request: RerankRequest, result: RerankResult) -> list[TeiResult]:
        return [_result(request, scored) for scored in result.top]

    def render_error(self, error: GatewayError, request_id: str) -> TeiError:
        fallback = "Validation" if error.status < 500 else "Backend"
        error_type = _ERROR_TYPES.get(error.code, fallback)
        return TeiError(error.message, error_type, error.message, error.message)


def _result(request: RerankRequest, scored: Scored) -> TeiResult:
    text = request.documents[scored.index].text if request.return_documents else UNSET
    return TeiResult(scored.index, shown_score(request, scored), text, **details(request, scored))


TEI = Tei()
