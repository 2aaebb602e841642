"""text-embeddings-inference's `/embed`: `inputs` in, a bare list of vectors out.

`normalize` is true unless the request has it otherwise, and a single string is a list of one.
"""

from collections.abc import Collection
from typing import Any

from gateway.dialects.base import Contract, Limits
from gateway.dialects.field_parsers import value_or_none
from gateway.dialects.request_body import Nullable, RerankBody, Text
from gateway.dialects.tei_errors import TeiError, tei_error
from gateway.dialects.vector_dialect import (
    NO_TOKENS,
    VECTOR_FIELDS,
    numbers,
    parse_texts,
    rendered,
)
from gateway.domain.errors import GatewayError, InvalidRequest
from gateway.domain.request import RerankRequest, RerankResult


class TeiEmbed:
    """The dialect of a TEI embedder."""

    name = "tei_embed"
    contract = Contract(
        title="text-embeddings-inference, vectors",
        required=("inputs",),
        fields=VECTOR_FIELDS,
        shared=("model",),
        reply=list[list[float]],
        error=TeiError,
        hints={"inputs": NO_TOKENS},
        example={
            "inputs": ["Paris is the capital of France.", "Gravity is a force."],
            "normalize": True,
            "truncate": True,
        },
    )

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        return parse_texts(body, _texts(value_or_none(body.inputs)), "inputs", limits)

    def render(self, request: RerankRequest, result: RerankResult) -> object:
        return rendered(self, request, result)

    def whole(self, result: RerankResult, data: Any) -> object:
        return data

    def one(self, request: RerankRequest, index: int, vector: bytes) -> list[float]:
        return numbers(vector)

    def render_error(self, error: GatewayError, request_id: str) -> TeiError:
        return tei_error(error)


def _texts(inputs: Collection[object] | dict[str, str] | str | None) -> Nullable[list[Text] | str]:
    """Return the texts of `inputs`, which other requests use for pairs."""
    if inputs is None or isinstance(inputs, str):
        return inputs
    if isinstance(inputs, dict):
        raise InvalidRequest(f"inputs: expected a string or a list: {NO_TOKENS}", param="inputs")
    texts: list[Text] = []
    for index, text in enumerate(inputs):
        if not isinstance(text, str):
            name = f"inputs[{index}]"
            raise InvalidRequest(f"{name}: expected a string: {NO_TOKENS}", param=name)
        texts.append(text)
    return texts


TEI_EMBED = TeiEmbed()
