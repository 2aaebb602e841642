"""Hugging Face's text classification, as TEI's `/predict` and its inference toolkit have it.

`inputs` is one pair or a list of pairs; a pair is `[query, document]` or `{text, text_pair}`. The
reply has the shape of the question: lists for lists, as in TEI, and objects for objects, as in the
pipelines. A reranker has one label.
"""

from collections.abc import Sequence
from typing import TypeAlias

from gateway.dialects.base import Contract, Limits
from gateway.dialects.field_parsers import check_size, value_or_none
from gateway.dialects.reply_fields import Details, reported_score, result_details
from gateway.dialects.request_body import RerankBody
from gateway.dialects.request_parser import check_document_count, parse_query, parse_shared_fields
from gateway.dialects.tei_errors import TeiError, tei_error
from gateway.domain.errors import GatewayError, InvalidRequest
from gateway.domain.request import Document, RerankRequest, RerankResult

_LABEL = "LABEL_0"

_NO_PAIR = "is no pair: send [query, document] or {text, text_pair}"
_LIST_OF_PAIRS, _LIST, _OBJECT = "inputs", "inputs[1]", "inputs.text_pair"
"""Names of the documents: in a list of pairs, in one pair as a list, in one as an object."""

_Pair: TypeAlias = Sequence[str] | dict[str, str]


class Prediction(Details, kw_only=True):
    """The score of one pair."""

    score: float
    label: str


class HuggingFace:
    """The dialect of `inputs` with pairs."""

    name = "huggingface"
    contract = Contract(
        title="Hugging Face, pairs of texts",
        required=("inputs",),
        nested={"parameters": ()},
        reply=Prediction | list[Prediction | list[Prediction]],
        error=TeiError,
        example={
            "inputs": [
                ["capital of France", "Berlin is the capital of Germany."],
                ["capital of France", "Paris is the capital of France."],
            ],
            "raw_scores": False,
        },
    )

    def parse(self, body: RerankBody, limits: Limits) -> RerankRequest:
        pairs, name = _pairs(body, limits)
        queries, documents = [], []
        for i, pair in enumerate(pairs):
            place = f"inputs[{i}]" if name == _LIST_OF_PAIRS else "inputs"
            query, text = _texts(pair, place)
            queries.append(parse_query(query, place, limits))
            check_size(text, place, limits.document_bytes)
            documents.append(Document(text, pair if isinstance(pair, dict) else None))
        return RerankRequest(
            queries=tuple(queries),
            documents=tuple(documents),
            documents_field=name,
            queries_field="inputs",
            **parse_shared_fields(body, limits),
        )

    def render(
        self, request: RerankRequest, result: RerankResult
    ) -> Prediction | Sequence[Prediction | Sequence[Prediction]]:
        each = [
            Prediction(
                score=reported_score(request, scored),
                label=_LABEL,
                **result_details(request, scored),
            )
            for scored in result.scored
        ]
        if request.documents_field != _LIST_OF_PAIRS:
            return each[0] if request.documents_field == _OBJECT else each
        pairs = zip(each, request.documents, strict=True)
        return [found if document.fields is not None else [found] for found, document in pairs]

    def render_error(self, error: GatewayError, request_id: str) -> TeiError:
        return tei_error(error)


def _pairs(body: RerankBody, limits: Limits) -> tuple[Sequence[_Pair], str]:
    """Return the pairs, and the name of their documents, which tells the shape of `inputs`."""
    inputs = value_or_none(body.inputs)
    if inputs is None:
        raise InvalidRequest("inputs is missing: send pairs of texts", param="inputs")
    if isinstance(inputs, dict):
        return [inputs], _OBJECT
    if isinstance(inputs, str):
        raise InvalidRequest(f"inputs {_NO_PAIR}", param="inputs")
    check_document_count(len(inputs), "inputs", limits)
    texts = [item for item in inputs if isinstance(item, str)]
    pairs = [item for item in inputs if not isinstance(item, str)]
    if texts and not pairs:
        return [texts], _LIST
    if texts:
        index = next(i for i, item in enumerate(inputs) if isinstance(item, str))
        raise InvalidRequest(f"inputs[{index}] {_NO_PAIR}", param=f"inputs[{index}]")
    return pairs, _LIST_OF_PAIRS


def _texts(pair: _Pair, name: str) -> tuple[str, str]:
    """Return query and document of a pair."""
    if isinstance(pair, dict):
        texts = [pair[field] for field in ("text", "text_pair") if field in pair]
    else:
        texts = list(pair)
    if len(texts) != 2:
        raise InvalidRequest(f"{name} {_NO_PAIR}", param=name)
    return texts[0], texts[1]


HUGGINGFACE = HuggingFace()
