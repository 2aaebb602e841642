"""APIs with formats of their own over a real gateway: replies, errors, and how each is known."""

from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from tests.gateway.dialects.test_served import DOCUMENTS, ORDER, expected, post

PINECONE = {"x-pinecone-api-version": "2025-10"}


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/api/rerank/", "/pinecone/rerank"])
def test_pinecone_is_known_by_its_header(client: TestClient, path: str) -> None:
    body = {"query": "q", "documents": [{"text": text} for text in DOCUMENTS], "top_n": 2}
    reply = client.post(path, json=body, headers=PINECONE).json()
    assert reply.keys() == {"model", "data", "usage"}
    assert [found["index"] for found in reply["data"]] == ORDER[:2]
    assert reply["data"][0]["document"] == {"text": DOCUMENTS[ORDER[0]]}
    assert reply["usage"] == {"rerank_units": 1}
    refused = client.post(path, json={**body, "model": "nope"}, headers=PINECONE)
    assert refused.json()["status"] == refused.status_code == 404
    assert refused.json()["error"]["code"] == "NOT_FOUND"
    of_short = client.post("/models/org/short/rerank", json=body, headers=PINECONE)
    assert of_short.json()["model"] == "org/short"


def test_weaviate_in_input_order_with_probes_beside_it(client: TestClient) -> None:
    reply = post(client, "/weaviate/rerank", documents=DOCUMENTS)
    assert [score["document"] for score in reply["scores"]] == DOCUMENTS
    best = max(reply["scores"], key=lambda score: score["score"])
    assert best["document"] == DOCUMENTS[ORDER[0]]
    one = post(client, "/weaviate/rerank", property=DOCUMENTS[0])
    assert one == {"query": "q", "property": DOCUMENTS[0], "score": reply["scores"][0]["score"]}
    refused = post(client, "/weaviate/rerank", 400, documents=[])
    assert refused == {"error": "documents is empty: send at least one document"}
    assert client.get("/weaviate/.well-known/live").status_code == 200
    assert client.get("/weaviate/meta").json()["id"] == "demo"
    for prefix in ("", "/models/demo", "/any"):
        ready = client.get(f"{prefix}/weaviate/.well-known/ready")
        assert ready.status_code == client.get("/readyz").status_code


def test_google_has_its_own_names_and_errors(client: TestClient) -> None:
    path = "/google/v1/projects/1/locations/global/rankingConfigs/default_ranking_config:rank"
    records = [{"id": str(i), "content": text or "x"} for i, text in enumerate(DOCUMENTS)]
    reply = post(client, path, records=records, topN=2)
    assert [record["id"] for record in reply["records"]] == [
        str(i) for i in expected(*DOCUMENTS[:3], "x")[:2]
    ]
    assert reply["records"][0].keys() == {"id", "score", "content"}
    for wrong, words in (
        ({}, "records is missing"),
        ({"records": []}, "records is empty"),
        ({"records": [{"id": "1"}]}, "records[0] has neither title nor content"),
        ({"records": [{"id": 1, "title": "a"}]}, "records[0].id: expected a string"),
        ({"records": [{"title": "a", "x": 10**30}]}, "records[0].x"),
    ):
        error = post(client, path, 400, **wrong)["error"]
        assert error["status"] == "INVALID_ARGUMENT"
        assert words in error["message"]


def test_dashscope_in_both_styles(client: TestClient) -> None:
    flat = post(client, "/compatible-api/v1/reranks", documents=DOCUMENTS, top_n=2)
    assert (flat["object"], flat["usage"].keys()) == ("list", {"total_tokens"})
    body: dict[str, Any] = {
        "input": {"query": "q", "documents": DOCUMENTS},
        "parameters": {"top_n": 2},
    }
    for path in ("/api/v1/services/rerank/text-rerank/text-rerank", "/reranks", "/v1/reranks"):
        reply = client.post(path, json=body).json()
        assert reply["output"]["results"] == flat["results"]
        assert reply["request_id"].startswith("rerank-")
    body["input"]["documents"] = []
    refused = client.post("/dashscope/reranks", json=body, headers={"x-request-id": "mine"})
    assert refused.status_code == 400
    error = client.post("/v1/reranks", json=body, headers={"x-request-id": "mine"}).json()
    assert error == {
        "code": "invalid_request",
        "message": "documents is empty: send at least one document",
        "request_id": "mine",
    }
    many = {"input": {"query": "q", **{f"x{i}": 0 for i in range(75_000)}}}
    refused = client.post("/v1/reranks", json=many)
    assert "fields, the limit is 1000" in refused.json()["message"]


def test_sglang_and_its_errors(client: TestClient) -> None:
    reply = post(client, "/sglang/v1/rerank", documents=DOCUMENTS)
    assert [found["index"] for found in reply] == ORDER
    assert [found["document"] for found in reply] == [DOCUMENTS[i] for i in ORDER]
    error = post(client, "/sglang/v1/rerank", 400, documents=[])
    assert error["object"] == "error"
    assert (error["code"], error["param"]) == (400, "documents")


def test_pairs_of_hugging_face_come_back_in_the_shape_that_they_have(client: TestClient) -> None:
    (score,) = post(client, "/rerank", pairs=[{"query": "q", "passage": "one"}])["scores"]
    answer = {"score": score, "label": "LABEL_0"}
    for inputs, reply in (
        (["q", "one"], [answer]),
        ([["q", "one"]], [[answer]]),
        ({"text": "q", "text_pair": "one"}, answer),
        ([{"text": "q", "text_pair": "one"}] * 2, [answer] * 2),
        ([{"text": "q", "text_pair": "one"}, ["q", "one"]], [answer, [answer]]),
    ):
        for path in ("/predict", "/tei/predict", "/", "/invocations"):
            assert client.post(path, json={"inputs": inputs}).json() == reply
    for wrong in ("q", ["q"], ["q", "a", "b"], [["q"]], [["q", "a"], "b"], {"text": "q"}, [], None):
        error = client.post("/predict", json={"inputs": wrong})
        assert error.status_code == 400
        assert error.json()["error_type"] == "Validation"
        assert error.json()["error"].startswith("inputs")


def test_mosec_in_messagepack_without_a_content_type(client: TestClient) -> None:
    raw = msgspec.msgpack.encode({"query": "q", "docs": DOCUMENTS})
    reply = client.post("/inference", content=raw)
    assert reply.headers["content-type"] == "application/msgpack"
    scores = msgspec.msgpack.decode(reply.content)["scores"]
    assert sorted(range(len(scores)), key=lambda i: -scores[i]) == ORDER
    pairs = [{"query": "q", "document": text} for text in DOCUMENTS]
    assert client.post("/inference", json=pairs).json()["scores"] == scores
    assert client.post("/inference", json=[{"query": "q"}]).json()["error"]["param"] == (
        "pairs[0].passage"
    )
    text = "\N{BYTE ORDER MARK}{}".encode()  # not a map of MessagePack
    assert "not valid JSON" in client.post("/inference", content=text).json()["message"]


def test_zeroentropy_counts_bytes(client: TestClient) -> None:
    reply = post(client, "/v1/models/rerank", documents=["one", "д"], latency="slow")
    assert reply["total_bytes"] == 6
    assert reply["e2e_latency"] >= 0
    assert reply["actual_latency_mode"] == "fast"
    assert client.get("/v1/models/rerank").status_code == 404  # a model of this name
