"""OpenAI's embeddings API: `input` in, a vector for each text out, as numbers or in base64.

vLLM, infinity and text-embeddings-inference have the same at `/v1/embeddings`. Vectors have length
1, as at OpenAI, unless the request has `normalize: false`.
"""

from typing import Any, Literal

from msgspec import Struct

from gateway.dialects.base import Contract, Limits, SharedErrors
from gateway.dialects.reply_fields import Usage, usage
from gateway.dialects.request_body import RerankBody
from gateway.dialects.vector_dialect import (
    NO_TOKENS,
    VECTOR_FIELDS,
    parse_texts,
    rendered,
    shown,
)
from gateway.domain.request import RerankRequest, RerankResult


class EmbeddingObject(Struct, kw_only=True):
    """One text's vector: numbers, or the bytes of its fp32 numbers in base64."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingsReply(Struct, kw_only=True):
    """OpenAI's reply."""

    object: Literal["list"] = "list"
    data: list[EmbeddingObject]
    model: str
    usage: Usage


class OpenAIEmbeddings(SharedErrors):
    """The dialect of OpenAI's embeddings."""

    name = "openai_embeddings"
    contract = Contract(
        title="OpenAI embeddings",
        required=("input",),
        fields=("encoding_format", *VECTOR_FIELDS),
        shared=("model",),
        reply=EmbeddingsReply,
        hints={"input": NO_TOKENS},
        example={"input": ["Paris is the capital of France.", "Gravity is a force."]},
    )

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        return parse_texts(body, body.input, "input", limits)

    def render(self, request: RerankRequest, result: RerankResult) -> object:
        return rendered(self, request, result)

    def whole(self, result: RerankResult, data: Any) -> EmbeddingsReply:
        return EmbeddingsReply(data=data, model=result.model, usage=usage(result))

    def one(self, request: RerankRequest, index: int, vector: bytes) -> EmbeddingObject:
        return EmbeddingObject(index=index, embedding=shown(request, vector))


OPENAI_EMBEDDINGS = OpenAIEmbeddings()
