"""Names of attributes, as OpenTelemetry's and OpenInference's packages have them."""

import json

import pytest

from gateway.domain.request import Document, Encoding, RerankRequest, RerankResult, Scored
from gateway.telemetry.span_attributes import embedding_attributes, rerank_attributes, texts

_OPENINFERENCE = {  # constants of openinference-semantic-conventions 0.1.42
    "openinference.span.kind",
    "reranker.model_name",
    "reranker.top_k",
    "embedding.model_name",
    "embedding.invocation_parameters",
    "llm.token_count.prompt",
    "llm.token_count.total",
}


def test_a_request_has_the_attributes_of_both_conventions() -> None:
    assert rerank_attributes(model="m", tokens=9, top_n=3, error="") == {
        "gen_ai.operation.name": "rerank",
        "gen_ai.provider.name": "rerank-gateway",
        "gen_ai.request.model": "m",
        "gen_ai.usage.input_tokens": 9,
        "openinference.span.kind": "RERANKER",
        "reranker.model_name": "m",
        "reranker.top_k": 3,
    }


def test_a_failure_has_its_type_and_a_request_for_all_no_number() -> None:
    found = rerank_attributes(model="m", tokens=0, top_n=None, error="503")
    assert found["error.type"] == "503"
    assert "reranker.top_k" not in found


def test_a_request_for_vectors_has_those_of_embeddings() -> None:
    encoding = Encoding(side="query", dimensions=8, is_unit=False, is_base64=True)
    found = dict(embedding_attributes(model="m", tokens=9, encoding=encoding, width=8, error=""))
    parameters = found.pop("embedding.invocation_parameters")
    assert isinstance(parameters, str)
    assert json.loads(parameters) == {
        "encoding_format": "base64",
        "input_type": "query",
        "normalize": False,
        "dimensions": 8,
    }
    assert found == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "rerank-gateway",
        "gen_ai.request.model": "m",
        "gen_ai.request.encoding_formats": ["base64"],
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.embeddings.dimension.count": 8,
        "openinference.span.kind": "EMBEDDING",
        "embedding.model_name": "m",
        "llm.token_count.prompt": 9,
        "llm.token_count.total": 9,
    }


def test_a_body_that_could_not_be_read_has_no_parameters() -> None:
    found = embedding_attributes(model="unknown", tokens=0, encoding=None, width=0, error="400")
    assert found["gen_ai.operation.name"] == "embeddings"
    assert found["error.type"] == "400"
    assert "embedding.invocation_parameters" not in found
    assert "gen_ai.embeddings.dimension.count" not in found


def _both() -> dict[str, object]:
    return {
        **rerank_attributes(model="m", tokens=0, top_n=1, error="500"),
        **embedding_attributes(model="m", tokens=0, encoding=Encoding(), width=8, error="500"),
    }


def test_the_names_are_those_of_opentelemetry() -> None:
    names = pytest.importorskip("opentelemetry.semconv._incubating.attributes.gen_ai_attributes")
    known = {value for name, value in vars(names).items() if name.startswith("GEN_AI_")}
    assert {name for name in _both() if name.startswith("gen_ai.")} <= known
    assert names.GenAiOperationNameValues.EMBEDDINGS.value == "embeddings"
    # A rerank operation in a new version is to be used here, with its attributes.
    assert not [
        operation for operation in names.GenAiOperationNameValues if "rank" in operation.value
    ]


def test_the_names_are_those_of_openinference() -> None:
    found = {name for name in _both() if not name.startswith(("gen_ai.", "error."))}
    assert found == _OPENINFERENCE


def _request(count: int = 2) -> RerankRequest:
    documents = tuple(Document(f"document {number}") for number in range(count))
    return RerankRequest(queries=("a query",), documents=documents)


def _result(*best: int) -> RerankResult:
    top = tuple(Scored(index, 0.0, 3, truncated=False) for index in best)
    return RerankResult(id="r", model="m", scored=top, top=top, processing_seconds=0.1, created=1)


def test_texts_are_cut_and_named_as_viewers_expect() -> None:
    assert texts(_request(), _result(1), 10) == {
        "reranker.query": "a query",
        "reranker.input_documents.0.document.id": "0",
        "reranker.input_documents.0.document.content": "document 0",
        "reranker.input_documents.1.document.id": "1",
        "reranker.input_documents.1.document.content": "document 1",
        "reranker.output_documents.0.document.id": "1",
        "reranker.output_documents.0.document.content": "document 1",
        "reranker.output_documents.0.document.score": 0.5,
    }
    assert texts(_request(1), None, 3)["reranker.input_documents.0.document.content"] == "doc"


def test_no_text_leaves_without_permission() -> None:
    assert texts(_request(), _result(1), 0) == {}
    assert texts(None, None, 10) == {}


def test_a_span_has_room_for_all_attributes() -> None:
    found = texts(_request(1000), _result(*range(1000)), 10)
    assert len(found) + len(_both()) + 8 <= 128


def test_texts_of_vectors() -> None:
    request = RerankRequest(queries=("",), documents=(Document("abc"),), encoding=Encoding())
    assert texts(request, None, 2) == {"embedding.embeddings.0.embedding.text": "ab"}
