"""DashScope's rerank APIs: the one in OpenAI's style, and its own, which nests the fields.

`DASHSCOPE` is like Jina's, but `object` is `list`. `DASHSCOPE_NATIVE` has query and documents in
`input`, the options in `parameters`, and the results in `output`; its errors have the shape of
DashScope's own.
"""

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from gateway.dialects.base import Contract, Limits, SharedErrors
from gateway.dialects.reply_fields import ObjectResult, object_results
from gateway.dialects.request_body import RerankBody
from gateway.dialects.request_parser import parse_request
from gateway.domain.errors import GatewayError
from gateway.domain.request import RerankRequest, RerankResult


class DashScopeUsage(Struct):
    """Input tokens."""

    total_tokens: int


class DashScopeReply(Struct, kw_only=True):
    """The reply in OpenAI's style."""

    id: str
    object: Literal["list"] = "list"
    model: str
    results: list[ObjectResult]
    usage: DashScopeUsage


class DashScopeOutput(Struct):
    """The results."""

    results: list[ObjectResult]


class DashScopeNativeReply(Struct, kw_only=True):
    """DashScope's own reply."""

    output: DashScopeOutput
    usage: DashScopeUsage
    request_id: str


class DashScopeError(Struct):
    """DashScope's own error."""

    code: str
    message: str
    request_id: str


class DashScope(SharedErrors):
    """The dialect of DashScope's API in OpenAI's style."""

    name = "dashscope"
    contract = Contract(
        title="DashScope",
        required=("query", "documents"),
        fields=("top_n", "top_k", "return_documents", "rank_fields"),
        reply=DashScopeReply,
        example={
            "query": "capital of France",
            "documents": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
            "top_n": 1,
            "instruct": "Find the passage that answers the question",
        },
    )

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        return parse_request(body, limits)

    def render(self, request: RerankRequest, result: RerankResult) -> DashScopeReply:
        return DashScopeReply(
            id=result.id,
            model=result.model,
            results=object_results(request, result),
            usage=DashScopeUsage(result.tokens),
        )


class DashScopeNative:
    """The dialect of DashScope's SDK."""

    name = "dashscope_native"
    contract = Contract(
        title="DashScope, native",
        required=("query", "documents"),
        fields=("top_n", "top_k", "return_documents", "rank_fields"),
        nested={
            "input": ("query", "documents"),
            "parameters": ("top_n", "top_k", "return_documents", "rank_fields"),
        },
        reply=DashScopeNativeReply,
        error=DashScopeError,
        example={
            "input": {
                "query": "capital of France",
                "documents": ["Berlin is in Germany.", "Paris is in France."],
            },
            "parameters": {"top_n": 1, "return_documents": True},
        },
    )

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        return replace(parse_request(body, limits), documents_field="input.documents")

    def render(self, request: RerankRequest, result: RerankResult) -> DashScopeNativeReply:
        return DashScopeNativeReply(
            output=DashScopeOutput(object_results(request, result)),
            usage=DashScopeUsage(result.tokens),
            request_id=result.id,
        )

    def render_error(self, error: GatewayError, request_id: str) -> DashScopeError:
        return DashScopeError(error.code, error.message, request_id)


DASHSCOPE = DashScope()
DASHSCOPE_NATIVE = DashScopeNative()
