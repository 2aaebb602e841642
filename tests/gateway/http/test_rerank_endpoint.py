"""The rerank endpoint of a real gateway: fake engine, real shards."""

import asyncio
import time
import zlib
from math import exp
from typing import Any

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from gateway import __version__
from gateway.http.request_context import context_of

DOCUMENTS = ["Paris is on the Seine", "Moscow is on the Moskva", "", "Берлин"]
RERANK_PATHS = ["/rerank", "/v1/rerank", "/v2/rerank", "/reranking", "/v1/v2/rerank"]


def score(query: str, document: str) -> float:
    """Return the score of the fake engine, computed independently."""
    checksum = zlib.crc32(f"{query}\x00{document}".encode())
    return 1 / (1 + exp(8 - (checksum >> 8) / (1 << 20)))


SCORES = [score("q", document) for document in DOCUMENTS]
BEST_FIRST = sorted(range(4), key=lambda index: -SCORES[index])


def post(client: TestClient, path: str, **fields: Any) -> Any:
    """Send the standard request with changes; return the parsed reply."""
    response = client.post(path, json={"query": "q", "documents": DOCUMENTS} | fields)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("path", RERANK_PATHS)
def test_rerank(client: TestClient, path: str) -> None:
    reply = post(client, path)
    assert [result["index"] for result in reply["results"]] == BEST_FIRST
    for result in reply["results"]:
        assert result["relevance_score"] == pytest.approx(SCORES[result["index"]], abs=1e-9)
        assert "document" not in result
    assert reply["model"] == "demo"
    assert reply["object"] == "rerank"
    assert abs(reply["created"] - time.time()) < 60
    assert type(reply["usage"]["total_tokens"]) is int
    assert reply["usage"]["total_tokens"] == reply["meta"]["tokens"]["input_tokens"] > 0


def test_native_scores_in_input_order(client: TestClient) -> None:
    reply = post(client, "/rerank", top_k=1)
    assert reply["scores"] == pytest.approx(SCORES)
    assert [result["index"] for result in reply["results"]] == BEST_FIRST[:1]
    assert reply["results"][0]["score"] == reply["results"][0]["relevance_score"]
    assert reply["processing_time_ms"] > 0


def test_pairs(client: TestClient) -> None:
    pairs = [{"query": f"q{i}", "passage": text} for i, text in enumerate(DOCUMENTS)]
    response = client.post("/rerank", json=pairs)
    expected = [score(f"q{i}", text) for i, text in enumerate(DOCUMENTS)]
    assert response.json() == {"scores": pytest.approx(expected)}


def test_tei(client: TestClient) -> None:
    response = client.post("/rerank", json={"query": "q", "texts": DOCUMENTS, "return_text": True})
    assert [result["index"] for result in response.json()] == BEST_FIRST
    assert [result["text"] for result in response.json()] == [DOCUMENTS[i] for i in BEST_FIRST]


def test_model_by_name_alias_and_default(client: TestClient) -> None:
    assert post(client, "/v1/rerank", model="demo")["model"] == "demo"
    assert post(client, "/v1/rerank", model="rerank-english-v3.0")["model"] == "demo"
    assert post(client, "/v1/rerank", model=None)["model"] == "demo"
    assert post(client, "/v1/rerank", model="org/short")["model"] == "org/short"


def test_truncation_is_reported_in_every_dialect(client: TestClient) -> None:
    long = {"documents": ["one two three four five six seven eight nine"], "model": "org/short"}
    reply = post(client, "/v1/rerank", **long)
    assert "1 of 1 documents" in reply["meta"]["warnings"][0]
    response = client.post(
        "/rerank", json={"query": "q", "texts": long["documents"]} | {"model": "org/short"}
    )
    assert "1 of 1 documents" in response.headers["x-gateway-warning"]
    assert "warnings" not in post(client, "/v1/rerank", model="demo")["meta"]


def test_a_query_that_leaves_no_room_is_a_client_error(client: TestClient) -> None:
    sent = {"query": "one two three four five six seven eight", "documents": ["a"]}
    response = client.post("/v1/rerank", json=sent | {"model": "org/short"})
    assert response.status_code == 400
    assert "8" in response.json()["message"]


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank"])
def test_messagepack_both_ways(client: TestClient, path: str) -> None:
    sent = msgspec.msgpack.encode({"query": "q", "documents": DOCUMENTS})
    response = client.post(path, content=sent, headers={"content-type": "application/msgpack"})
    assert response.headers["content-type"] == "application/msgpack"
    reply = msgspec.msgpack.decode(response.content)
    assert reply["results"] == post(client, path)["results"]


def test_accept_decides_the_media_type_of_the_reply(client: TestClient) -> None:
    sent = {"query": "q", "documents": DOCUMENTS}
    packed = client.post("/v1/rerank", json=sent, headers={"accept": "application/x-msgpack"})
    assert msgspec.msgpack.decode(packed.content)["model"] == "demo"
    headers = {"content-type": "application/x-msgpack", "accept": "application/json"}
    plain = client.post("/v1/rerank", content=msgspec.msgpack.encode(sent), headers=headers)
    assert plain.json()["model"] == "demo"


def test_request_id_is_the_id_of_the_reply(client: TestClient) -> None:
    response = client.post(
        "/v1/rerank",
        json={"query": "q", "documents": DOCUMENTS},
        headers={"x-request-id": "trace-7.a_B"},
    )
    assert response.json()["id"] == "trace-7.a_B" == response.headers["x-request-id"]


def test_deadline(client: TestClient) -> None:
    post(client, "/v1/rerank", model="slow")  # every batch takes 300 ms
    sent = {"query": "q", "documents": DOCUMENTS, "model": "slow"}
    response = client.post("/v1/rerank", json=sent, headers={"x-request-timeout-ms": "100"})
    assert response.status_code == 504
    assert response.json()["error"]["code"] == "deadline_exceeded"
    assert "X-Request-Timeout-Ms" in response.json()["message"]
    response = client.post("/v1/rerank", json=sent, headers={"x-request-timeout-ms": "9" * 12})
    assert response.status_code == 200


def test_models(client: TestClient) -> None:
    post(client, "/v1/rerank")  # loaded by now, so that its length is known
    reply = client.get("/v1/models").json()
    assert reply == client.get("/models").json()
    assert reply["object"] == "list"
    assert [card["id"] for card in reply["data"]] == ["demo", "org/short", "broken", "slow"]
    demo = reply["data"][0]
    assert 0 <= time.time() - demo.pop("created") < 86_400  # since the first test of the gateway
    assert demo == {
        "id": "demo",
        "object": "model",
        "owned_by": "rerank-gateway",
        "model_type": "rerank",
        "model_name": "demo",
        "model_ability": ["rerank", "embed"],
        "state": "ready",
        "default": True,
        "aliases": ["rerank-english-v3.0"],
        "demonstration": False,
        "max_model_len": 8192,
    }
    assert "max_model_len" not in reply["data"][2]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/models/demo", "demo"),
        ("/v1/models/rerank-english-v3.0", "demo"),
        ("/v1/models/org/short", "org/short"),
        ("/v1/models/org%2Fshort", "org/short"),
    ],
)
def test_model(client: TestClient, path: str, name: str) -> None:
    assert client.get(path).json()["id"] == name


def test_index_names_endpoints_that_exist(client: TestClient) -> None:
    reply = client.get("/").json()
    for line in (*reply["rerank"], *reply["read"]):
        method, path = line.split()
        if "{" not in path:
            response = client.request(method, path)
            assert response.status_code not in {404, 405}, line


def test_livez(client: TestClient) -> None:
    assert client.get("/livez").json() == {"alive": True}


def test_status(client: TestClient) -> None:
    post(client, "/v1/rerank")
    reply = client.get("/status").json()
    assert reply["version"] == __version__
    assert reply["uptime_seconds"] > 0
    demo = reply["models"][0]
    assert demo["name"] == "demo"
    shard = demo["shards"][0]
    expected = {
        *("name", "pid", "state", "generation", "restarts", "device", "dtype", "queue"),
        *("outstanding_tokens", "documents", "tokens", "p50_ms", "p95_ms", "memory_bytes"),
        "last_error",
    }
    assert expected <= shard.keys()
    assert shard["documents"] > 0


def test_nothing_is_accepted_while_stopping(app: Starlette, client: TestClient) -> None:
    app.state.gateway.stopping = True
    try:
        response = client.post("/v1/rerank", json={"query": "q", "documents": ["a"]})
        assert response.status_code == 503
        assert response.headers["retry-after"] == "5"
        assert response.json()["error"]["code"] == "shutting_down"
        assert client.get("/readyz").status_code == 503
        assert client.get("/readyz").json()["reasons"] == ["the gateway is stopping"]
    finally:
        app.state.gateway.stopping = False


def test_requests_of_every_kind_are_counted(client: TestClient) -> None:
    before = samples(client)
    post(client, "/v1/rerank", model="rerank-english-v3.0")
    client.post("/rerank", json={"query": "q", "texts": []})
    client.post("/v1/rerank", json={"query": "q", "documents": ["a"], "model": "no\nsuch"})
    client.post("/v1/rerank", content=b" " * 1_000_001)
    client.post("/v1/rerank", content=b"{}", headers={"content-type": "text/plain"})
    client.get("/v1/rerank")
    client.get("/health")
    after = samples(client)
    changes = {name: value - before.get(name, 0) for name, value in after.items()}
    assert {
        name.removeprefix("reranker_requests_total"): change
        for name, change in changes.items()
        if change and name.startswith("reranker_requests_total")
    } == {
        '{code="200",dialect="jina",model="demo"}': 1,
        '{code="400",dialect="tei",model="unknown"}': 1,
        '{code="404",dialect="jina",model="unknown"}': 1,
        '{code="413",dialect="jina",model="unknown"}': 1,
        '{code="415",dialect="jina",model="unknown"}': 1,
    }


def samples(client: TestClient) -> dict[str, float]:
    """Return every sample of `/metrics` by its name and labels."""
    lines = client.get("/metrics").text.splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def test_client_that_leaves_is_not_answered(app: Starlette, client: TestClient) -> None:
    """The server cancels the request: scoring ends, nothing is sent, and it counts as 499."""
    before = samples(client)
    answers: list[Any] = []

    async def receive() -> Any:
        body = b'{"query": "q", "documents": ["a"], "model": "slow"}'
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        answers.append(message)

    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/v1/rerank", "headers": []}

    async def ask_and_leave() -> None:
        asking = asyncio.create_task(app(scope, receive, send))
        while "gateway.context" not in scope or context_of(scope).cancel is None:
            await asyncio.sleep(0)
        cancel = context_of(scope).cancel
        assert cancel is not None
        cancel()
        await asking

    assert client.portal is not None
    client.portal.call(ask_and_leave)
    after = samples(client)
    assert answers == []
    left = 'reranker_requests_total{code="499",dialect="jina",model="slow"}'
    cancelled = 'reranker_jobs_cancelled_total{model="slow"}'
    for name in (left, cancelled):
        assert after[name] == before.get(name, 0) + 1


def test_client_that_leaves_before_the_end_of_its_body(app: Starlette, client: TestClient) -> None:
    received = iter(
        [
            {"type": "http.request", "body": b'{"query": ', "more_body": True},
            {"type": "http.disconnect"},
        ]
    )
    answers: list[Any] = []

    async def receive() -> Any:
        return next(received)

    async def send(message: Any) -> None:
        answers.append(message)

    scope = {"type": "http", "method": "POST", "path": "/rerank", "headers": []}
    assert client.portal is not None
    client.portal.call(app, scope, receive, send)
    assert answers == []
    assert samples(client)['reranker_requests_total{code="499",dialect="native",model="unknown"}']
