"""The OpenAPI document: it has every path, its examples run, and every reply conforms to it."""

import re
from typing import Any

import jsonschema_rs
import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from gateway.dialects import (
    ALL_PATHS,
    DIALECTS,
    PATHS,
    SHARED_FIELDS,
    VECTOR_DIALECTS,
    Dialect,
    RerankBody,
)
from gateway.http.openapi import dialects_at, document, example_reply
from gateway.http.routes import READS

DOCUMENT = document()
OPERATIONS = [
    (method, path) for path, methods in DOCUMENT["paths"].items() for method in sorted(methods)
]
EXAMPLES_EACH = 6
"""Requests drawn for each path and mode."""

ALL_DIALECTS = (*DIALECTS, *VECTOR_DIALECTS)
ONE_PATH_EACH = list({served.dialect.name: path for path, served in ALL_PATHS.items()}.values())
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def schema(ref: Any) -> Any:
    """Return a validator of a part of the document, with the components that it refers to."""
    return jsonschema_rs.Draft202012Validator({**ref, "components": DOCUMENT["components"]})


def names(dialect: Dialect) -> str:
    return dialect.name


# -- the document ----------------------------------------------------------------------------------


def test_every_path_is_in_the_document_and_nothing_else() -> None:
    found = {(method, path) for method, path in OPERATIONS}
    expected = {("post", path) for path in ALL_PATHS}
    expected |= {("get", path.replace(":path", "")) for path in READS}
    assert found == expected


def test_the_document_is_served(client: TestClient) -> None:
    assert client.get("/openapi.json").json() == msgspec.json.decode(msgspec.json.encode(DOCUMENT))


def test_every_reference_leads_somewhere() -> None:
    text = msgspec.json.encode(DOCUMENT).decode()
    for kind, name in re.findall(r'"#/components/(\w+)/([^"]+)"', text):
        assert name in DOCUMENT["components"][kind]


def test_names_of_operations_differ() -> None:
    ids = [DOCUMENT["paths"][path][method]["operationId"] for method, path in OPERATIONS]
    assert len(set(ids)) == len(ids)


def test_every_field_is_described_and_read_by_some_dialect() -> None:
    read = set(SHARED_FIELDS)
    for dialect in ALL_DIALECTS:
        read |= {*dialect.contract.required, *dialect.contract.fields}
        properties = DOCUMENT["components"]["schemas"][f"{dialect.name}_request"]["properties"]
        assert all(field["description"] for field in properties.values())
    assert read == set(RerankBody.__struct_fields__)


# -- the examples ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ALL_DIALECTS, ids=names)
def test_examples_are_as_described(dialect: Dialect) -> None:
    request = schema({"$ref": f"#/components/schemas/{dialect.name}_request"})
    request.validate(msgspec.to_builtins(dialect.contract.example))
    for path, served in ALL_PATHS.items():
        if dialect in dialects_at(served):
            content = DOCUMENT["paths"][path]["post"]["responses"]["200"]["content"]
            schema(content["application/json"]["schema"]).validate(example_reply(dialect))


@pytest.mark.parametrize("path", ALL_PATHS)
def test_examples_run(client: TestClient, path: str) -> None:
    for dialect in dialects_at(ALL_PATHS[path]):
        # One example is sent to many paths: kept scores would add counts of cached tokens.
        headers = {"Cache-Control": "no-store"}
        response = client.post(path, json=dialect.contract.example, headers=headers)
        assert response.status_code == 200, response.text
        found, shown = response.json(), example_reply(dialect)
        if isinstance(found, dict) and "model" not in dialect.contract.example:
            (warning,) = found.get("meta", {}).pop("warnings", ["no model was named"])
            assert warning.startswith("no model was named")
        assert shape(found) == shape(shown), dialect.name


def shape(value: Any) -> Any:
    """Return a reply without its values: names, types and lengths."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value)


def test_a_wrong_reply_is_detected() -> None:
    reply = DOCUMENT["paths"]["/voyage/v1/rerank"]["post"]["responses"]["200"]["content"]
    validator = schema(reply["application/json"]["schema"])
    good = example_reply(PATHS["/voyage/v1/rerank"].dialect)
    assert validator.is_valid(good)
    assert not validator.is_valid(good | {"data": [{"index": 0}]})
    assert not validator.is_valid(good | {"usage": {"total_tokens": 1.5}})
    assert not validator.is_valid(good | {"object": "rerank"})


# -- generated requests, valid and invalid ---------------------------------------------------------

_SCHEMA = schemathesis.openapi.from_dict(msgspec.json.decode(msgspec.json.encode(DOCUMENT)))


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [
        *((method, path, GenerationMode.POSITIVE) for method, path in OPERATIONS),
        *(("post", path, GenerationMode.NEGATIVE) for path in ONE_PATH_EACH),
    ],
)
def test_replies_are_as_described(
    client: TestClient, method: str, path: str, mode: GenerationMode
) -> None:
    operation = _SCHEMA[path][method.upper()]

    @given(data=st.data())
    @settings(
        max_examples=EXAMPLES_EACH,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    def replies(data: st.DataObject) -> None:
        case = data.draw(operation.as_strategy(generation_mode=mode))
        response = client.request(**arguments(case))
        case.validate_response(response, checks=CHECKS)

    replies()


def arguments(case: Any) -> dict[str, Any]:
    """Return the arguments for the test client in place of those for `requests`."""
    sent: dict[str, Any] = case.as_transport_kwargs(base_url="http://testserver")
    del sent["cookies"]  # the document has none
    if isinstance(sent.get("data"), bytes | str):
        sent["content"] = sent.pop("data")
    return sent
