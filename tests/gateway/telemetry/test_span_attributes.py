"""Names of attributes, as OpenTelemetry's and OpenInference's packages have them."""

import pytest

from gateway.telemetry.span_attributes import conventional_attributes


def test_a_request_has_the_attributes_of_both_conventions() -> None:
    assert conventional_attributes(model="m", tokens=9, top_n=3, error="") == {
        "gen_ai.operation.name": "rerank",
        "gen_ai.provider.name": "rerank-gateway",
        "gen_ai.request.model": "m",
        "gen_ai.usage.input_tokens": 9,
        "openinference.span.kind": "RERANKER",
        "reranker.model_name": "m",
        "reranker.top_k": 3,
    }


def test_a_failure_has_its_type_and_a_request_for_all_no_number() -> None:
    found = conventional_attributes(model="m", tokens=0, top_n=None, error="503")
    assert found["error.type"] == "503"
    assert "reranker.top_k" not in found


def test_the_names_are_those_of_opentelemetry() -> None:
    names = pytest.importorskip("opentelemetry.semconv._incubating.attributes.gen_ai_attributes")
    known = {value for name, value in vars(names).items() if name.startswith("GEN_AI_")}
    found = conventional_attributes(model="m", tokens=0, top_n=1, error="")
    assert {name for name in found if name.startswith("gen_ai.")} <= known
    # A rerank operation in a new version is to be used here, with its attributes.
    assert not [
        operation for operation in names.GenAiOperationNameValues if "rank" in operation.value
    ]
