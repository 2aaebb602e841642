"""text-embeddings-inference: `texts` in, a bare list of scores out, no model name anywhere.

Best first, ties by index. `top_n` is not TEI's, but LiteLLM sends it, and it is honoured. Errors
have TEI's `error` (a string) and `error_type`, and `message` and `detail` beside them. Clients read
`GET /info` before their first request.
"""

from collections.abc import Sequence

from msgspec import UNSET, Struct, UnsetType

from gateway.dialects.base import Contract, Limits
from gateway.dialects.reply_fields import Details, reported_score, result_details
from gateway.dialects.request_body import RerankBody
from gateway.dialects.request_parser import parse_request
from gateway.dialects.tei_errors import TeiError, tei_error
from gateway.domain.errors import GatewayError
from gateway.domain.request import RerankRequest, RerankResult, Scored


class TeiResult(Details):
    """One text's score; `text` only with `return_text`."""

    index: int
    score: float
    text: str | UnsetType = UNSET


class TeiLabels(Struct):
    """The outputs of a reranker: nearly always one."""

    id2label: dict[str, str]
    label2id: dict[str, int]


class TeiModelType(Struct):
    """The kind of the model."""

    reranker: TeiLabels


class TeiInfo(Struct, kw_only=True):
    """The reply of `/info`; fields that do not apply to a gateway are null."""

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


_USUAL = ("LABEL_0",)


def reranker(labels: Sequence[str]) -> TeiModelType:
    """Return the kind of a reranker, with its checkpoint's labels; the usual ones for none."""
    numbered = list(enumerate(labels or _USUAL))
    names = {str(number): label for number, label in numbered}
    return TeiModelType(TeiLabels(names, {label: number for number, label in numbered}))


class Tei:
    """The dialect of a TEI reranker."""

    name = "tei"
    contract = Contract(
        title="text-embeddings-inference",
        required=("query", "texts"),
        fields=("return_text", "top_n", "top_k"),
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
        return parse_request(body, limits, documents="texts", returns="return_text")

    def render(self, request: RerankRequest, result: RerankResult) -> list[TeiResult]:
        return [_result(request, scored) for scored in result.top]

    def render_error(self, error: GatewayError, request_id: str) -> TeiError:
        return tei_error(error)


def _result(request: RerankRequest, scored: Scored) -> TeiResult:
    text = request.documents[scored.index].text if request.return_documents else UNSET
    return TeiResult(
        scored.index, reported_score(request, scored), text, **result_details(request, scored)
    )


TEI = Tei()
