"""Every API over a real gateway, from the path to the shards and back."""

import re
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from gateway.dialects import PATHS
from gateway.domain.request import sigmoid
from gateway.http.routes import READS
from shards.engines.fake import margin

DOCUMENTS = ["one", "two words", "three more words", ""]
LONG = "one two three four five six seven eight nine"
SHORT_LENGTH = 8
"""The limit of the model `org/short`."""


def post(client: TestClient, path: str, status: int = 200, **fields: Any) -> Any:
    """Send fields; return the parsed reply."""
    response = client.post(path, json={"query": "q"} | fields)
    assert response.status_code == status, response.text
    return response.json()


def expected(*documents: str) -> list[int]:
    """Return the order of the fake engine, computed here."""
    return sorted(range(len(documents)), key=lambda index: -margin("q", documents[index]))


ORDER = expected(*DOCUMENTS)


# -- one reply per vendor --------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/infinity/rerank", "/infinity/v1/rerank"])
def test_infinity_returns_strings(client: TestClient, path: str) -> None:
    reply = post(client, path, documents=DOCUMENTS, return_documents=True, top_n=2)
    assert [result["document"] for result in reply["results"]] == [DOCUMENTS[i] for i in ORDER[:2]]
    assert "document" not in post(client, path, documents=DOCUMENTS)["results"][0]


def test_the_same_bytes_without_the_prefix_return_objects(client: TestClient) -> None:
    reply = post(client, "/rerank", documents=DOCUMENTS, return_documents=True, top_n=1)
    assert reply["results"][0]["document"] == {"text": DOCUMENTS[ORDER[0]]}


def test_voyage(client: TestClient) -> None:
    reply = post(client, "/voyage/v1/rerank", documents=DOCUMENTS, top_k=1, return_documents=True)
    assert reply.keys() == {"object", "data", "model", "usage"}
    assert [result["document"] for result in reply["data"]] == [DOCUMENTS[ORDER[0]]]


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, "rerank"),
        ({"truncation": False}, "list"),
        ({"truncation": True, "instruction": "x"}, "list"),
        ({"top_k": None}, "list"),
        ({"top_k": 1, "return_documents": True, "model": "demo"}, "list"),
        ({"top_k": 1, "instruction": "x"}, "rerank"),
        ({"top_n": 1, "truncation": True}, "rerank"),
        ({"top_n": None, "top_k": 1}, "rerank"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank", "/v2/rerank"])
def test_the_kind_of_the_shared_reply_is_voyages_for_its_clients(
    client: TestClient, path: str, fields: dict[str, Any], kind: str
) -> None:
    reply = post(client, path, documents=DOCUMENTS, **fields)
    assert reply["object"] == kind
    assert ("data" in reply) is ("top_n" not in fields)
    assert reply["results"]


@pytest.mark.parametrize("path", ["/v1/reranking", "/reranking", "/mixedbread/v1/reranking"])
def test_mixedbread_by_its_input(client: TestClient, path: str) -> None:
    reply = post(client, path, input=DOCUMENTS, top_k=3, return_input=True)
    assert [result["index"] for result in reply["data"]] == ORDER[:3]
    assert reply["data"][0]["input"] == DOCUMENTS[ORDER[0]]
    assert reply["top_k"] == 3


@pytest.mark.parametrize("path", ["/vllm/rerank", "/vllm/v1/rerank", "/vllm/v2/rerank"])
def test_vllm_always_returns_documents_and_takes_any_top_n(client: TestClient, path: str) -> None:
    reply = post(client, path, documents=DOCUMENTS, top_n=-1)
    assert [result["document"]["text"] for result in reply["results"]] == [
        DOCUMENTS[i] for i in ORDER
    ]


def test_llamacpp(client: TestClient) -> None:
    reply = post(client, "/llamacpp/v1/rerank", documents=DOCUMENTS)
    assert reply["object"] == "list"
    assert [result["index"] for result in reply["results"]] == ORDER


def test_nim_shows_margins(client: TestClient) -> None:
    passages = [{"text": text} for text in DOCUMENTS]
    reply = post(client, "/v1/ranking", query={"text": "q"}, passages=passages)
    logits = [result["logit"] for result in reply["rankings"]]
    assert logits == [margin("q", DOCUMENTS[i]) for i in ORDER]


@pytest.mark.parametrize("path", ["/score", "/v1/score", "/vllm/score", "/vllm/v1/score"])
def test_scores_in_input_order(client: TestClient, path: str) -> None:
    reply = post(client, path, text_1="q", text_2=DOCUMENTS)
    found = [result["score"] for result in reply["data"]]
    assert found == pytest.approx([sigmoid(margin("q", text)) for text in DOCUMENTS])
    pairs = post(client, path, queries=["a", "b"], items=["x", "y"], use_activation=False)
    assert [result["score"] for result in pairs["data"]] == [margin("a", "x"), margin("b", "y")]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "text_1"),
        ({"text_1": "q"}, "text_2"),
        ({"queries": "q"}, "documents"),
        ({"text_1": ["a", "b"], "text_2": ["x", "y", "z"]}, "text_1"),
        ({"text_1": ["a", "b"], "text_2": "x"}, "text_1"),
        ({"text_1": [], "text_2": ["x"]}, "text_1"),
        ({"text_1": ["a", ""], "text_2": ["x", "y"]}, "text_1[1]"),
        ({"text_1": "a", "text_2": []}, "text_2"),
        ({"data_1": "a", "data_2": [{"content": [{"type": "image_url"}]}]}, "data_2[0].content[0]"),
    ],
)
def test_bad_score_requests(client: TestClient, fields: dict[str, Any], param: str) -> None:
    reply = post(client, "/score", 400, **fields)
    assert reply["error"]["param"] == param
    assert reply["message"].startswith(param)


def test_below_a_prefix_the_fields_do_not_decide(client: TestClient) -> None:
    reply = post(client, "/cohere/v2/rerank", 400, texts=DOCUMENTS)
    assert reply["error"]["param"] == "documents"
    assert post(client, "/tei/rerank", 400, documents=DOCUMENTS)["error_type"] == "Validation"


# -- the model in the path -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["demo", "rerank-english-v3.0"])
@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/cohere/v2/rerank"])
def test_model_in_the_path(client: TestClient, name: str, path: str) -> None:
    reply = post(client, f"/models/{name}{path}", documents=DOCUMENTS, model="no-such-model")
    assert reply["model"] == "demo"


@pytest.mark.parametrize("name", ["org/short", "org%2Fshort"])
def test_names_with_slashes(client: TestClient, name: str) -> None:
    assert post(client, f"/models/{name}/v1/rerank", documents=["a"])["model"] == "org/short"


def test_tei_with_a_model(client: TestClient) -> None:
    response = client.post("/models/org/short/rerank", json={"query": "q", "texts": [LONG]})
    assert response.status_code == 200
    assert f"{SHORT_LENGTH} tokens" in response.headers["x-gateway-warning"]


def test_unknown_model_in_the_path(client: TestClient) -> None:
    reply = post(client, "/models/no/such/model/tei/rerank", 404, texts=["a"])
    assert "'no/such/model'" in reply["error"]
    assert reply["error_type"] == "Validation"


# -- documents that are too long -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name", "field"),
    [
        ("/v1/rerank", "documents", {"truncation": False}),
        ("/voyage/v1/rerank", "documents", {"truncation": False}),
        ("/v1/ranking", "passages", {"truncate": "NONE"}),
        ("/v1/reranking", "input", {"truncate": False}),
        ("/score", "items", {"truncate": False, "queries": "q"}),
    ],
)
def test_truncation_rejected(client: TestClient, path: str, name: str, field: Any) -> None:
    documents: list[Any] = ["a", "b c", LONG, "d"]
    if name == "passages":
        documents = [{"text": text} for text in documents]
    fields = {name: documents, "model": "org/short"} | field
    reply = post(client, path, 400, **fields)
    assert reply["error"]["param"] == f"{name}[2]"
    assert reply["message"].startswith(f"{name}[2] is too long")
    assert f"{SHORT_LENGTH} tokens" in reply["message"]
    fields[name] = documents[:2]
    assert post(client, path, **fields)


def test_truncation_rejected_by_tei(client: TestClient) -> None:
    reply = post(client, "/rerank", 400, texts=["a", LONG], model="org/short", truncate=False)
    assert reply["error"].startswith("texts[1] is too long")
    assert reply["error_type"] == "Validation"


def test_truncation_rejected_at_the_clients_own_limit(client: TestClient) -> None:
    documents = ["a", "a b", "a b c"]
    fields: dict[str, Any] = {"max_tokens_per_doc": 2, "truncation": False}
    reply = post(client, "/v1/rerank", 400, documents=documents, **fields)
    assert reply["error"]["param"] == "documents[2]"
    assert "max_tokens_per_doc 2" in reply["message"]


def test_truncation_at_the_start_has_a_warning(client: TestClient) -> None:
    reply = post(
        client,
        "/v1/rerank",
        documents=[LONG, "a"],
        model="org/short",
        truncation_direction="left",
    )
    warnings = reply["meta"]["warnings"]
    assert warnings == [f"1 of 2 documents were truncated ({SHORT_LENGTH} tokens a pair)"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("truncate", "MIDDLE"),
        ("truncation", "END"),
        ("truncation_direction", "up"),
        ("truncation_side", ""),
    ],
)
def test_bad_truncation(client: TestClient, field: str, value: str) -> None:
    reply = post(client, "/v1/rerank", 400, documents=["a"], **{field: value})
    assert reply["error"]["param"] == field
    assert "use one of" in reply["message"]


# -- read endpoints --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/info", "/tei/info", "/models/demo/info"])
def test_info(client: TestClient, path: str) -> None:
    post(
        client, "/rerank", documents=["a"]
    )  # the model is loaded after it, so its limits are known
    info = client.get(path).json()
    assert info["model_id"] == info["served_model_name"] == "demo"
    assert info["model_type"] == {
        "reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    }
    assert info["model_dtype"] == "float32"
    assert info["max_input_length"] == 8192
    assert info["max_batch_tokens"] == 16_384
    assert info["max_client_batch_size"] == 5
    assert info["auto_truncate"] is True
    integers = ("max_concurrent_requests", "tokenization_workers")
    assert all(type(info[name]) is int for name in integers)


def test_info_of_a_model(client: TestClient) -> None:
    post(client, "/rerank", documents=["a"], model="org/short")
    assert client.get("/models/org/short/info").json()["max_input_length"] == SHORT_LENGTH
    assert client.get("/models/nope/info").status_code == 404


@pytest.mark.parametrize("path", [path for path in READS if path.endswith("/models")])
def test_models_wherever_clients_look(client: TestClient, path: str) -> None:
    reply = client.get(path).json()
    assert reply["object"] == "list"
    assert reply["data"][0]["id"] == "demo"


@pytest.mark.parametrize("path", [path for path in READS if "{" not in path])
def test_messagepack_from_every_json_endpoint(client: TestClient, path: str) -> None:
    plain = client.get(path)
    packed = client.get(path, headers={"accept": "application/msgpack"})
    if plain.headers["content-type"] != "application/json":
        assert packed.headers["content-type"] == plain.headers["content-type"]
        return
    assert packed.headers["content-type"] == "application/msgpack"
    assert type(msgspec.msgpack.decode(packed.content)) is type(plain.json())


def test_probes_of_other_servers(client: TestClient) -> None:
    post(client, "/v1/rerank", documents=["a"])  # loaded by now
    for path in ("/ping", "/healthz", "/health", "/health/"):
        assert client.get(path).json().keys() == client.get("/tei/health").json().keys(), path
        assert client.get(path).status_code == client.get("/health").status_code
    assert client.get("/v1/health/live").json() == {"alive": True}
    ready, by_nim = client.get("/readyz"), client.get("/v1/health/ready")
    assert (ready.status_code, ready.json()) == (by_nim.status_code, by_nim.json())
    assert client.get("/version").json() == {"version": client.get("/").json()["version"]}


def test_nims_paths_name_the_model(client: TestClient) -> None:
    body = {"query": {"text": "q"}, "passages": [{"text": "one"}, {"text": LONG}]}
    for path in ("/v1/retrieval/nvidia/reranking", "/reranking", "/nim/reranking"):
        assert [r["index"] for r in client.post(path, json=body).json()["rankings"]] == [
            r["index"] for r in client.post("/v1/ranking", json=body).json()["rankings"]
        ]
    short = client.post("/v1/retrieval/org/short/reranking", json=body)
    assert "truncated" in short.headers["x-gateway-warning"]  # this model reads eight tokens
    assert client.post("/v1/retrieval/nope/reranking", json=body).status_code == 404


def test_the_page_is_self_contained(client: TestClient) -> None:
    response = client.get("/docs")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "http" not in response.text.replace("http-equiv", "")
    loaded = set(re.findall(r'(?:src|href)="([^"#]+)"', response.text))
    web = {"icon.svg", "base.css", "docs.css", "docs.js"}
    assert loaded == {f"web/{name}" for name in web} | {"docs", "openapi.json"}
    assert "unsafe" not in response.headers["content-security-policy"]
    for path in (*PATHS, *(path.replace(":path", "") for path in READS)):
        assert f"{path}</code>" in response.text


@pytest.mark.parametrize("path", [*PATHS, "/models/demo/rerank"])
def test_every_reply_has_its_id_and_wrong_methods_are_rejected(
    client: TestClient, path: str
) -> None:
    wrong = client.put(path, headers={"x-request-id": "mine"})
    assert wrong.status_code == 405
    methods = "GET, HEAD, POST" if path in READS else "POST"
    assert wrong.headers["allow"] == methods
    assert f"use {methods}" in wrong.text
    bad = client.post(path, json={}, headers={"x-request-id": "mine"})
    assert bad.status_code == 400
    for response in (wrong, bad):
        assert response.headers["x-request-id"] == response.headers["request-id"] == "mine"


# -- fields without effect -------------------------------------------------------------------------


def test_fields_without_effect_are_in_the_warnings_and_the_header(client: TestClient) -> None:
    response = client.post("/v1/rerank", json={"query": "q", "documents": ["a"], "topn": 1})
    warning = "fields without effect: 'topn' (did you mean top_n?)"
    assert warning in response.json()["meta"]["warnings"]
    assert warning in response.headers["x-gateway-warning"]
    response = client.post("/tei/rerank", json={"query": "q", "texts": ["a"], "x\r\ny": 1})
    assert r"fields without effect: 'x\r\ny'" in response.headers["x-gateway-warning"]
