"""Vectors over HTTP: real shards with the fake engine, whose vectors any test can compute."""

import base64
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from gateway.app import create_app
from gateway.config import CascadeSettings, LimitSettings, Settings, SplitSettings
from gateway.scheduling.token_estimate import TokenEstimate
from shards.engines.fake import fake_vector
from tests.gateway.http.guarded import Guarded
from tests.gateway.http.keys.making import bearer, write_keys
from tests.gateway.http.test_model_access import fake, until_ready

WIDTH, WIDE = 8, 2000
TEXTS = ["one", "two words", "", "three more words"]
LONG = "a b c d e f g h i j"
SETTINGS: dict[str, Any] = {
    "models": {
        "reranker": fake(),
        "e5": fake(f"fake?vectors={WIDTH}", max_length=8),
        "wide": fake(f"fake?vectors={WIDE}"),
        "three": fake("fake?vectors=3", long_documents="error", max_length=8),
    },
    "splits": {"both": SplitSettings(models={"e5": 50, "wide": 50})},
    "cascades": {"deep": CascadeSettings(first="e5", then="reranker")},
    "limits": LimitSettings(documents=300, document_bytes=100),
}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = create_app(Settings(**SETTINGS))
    with TestClient(app, client=("127.0.0.1", 1), base_url="http://127.0.0.1") as client:
        until_ready(client)
        yield client


def ask(client: TestClient, path: str = "/v1/embeddings", status: int = 200, **fields: Any) -> Any:
    body = {"model": "e5"} | fields
    reply = client.post(path, json=body)
    assert reply.status_code == status, reply.text
    return reply


def unit(vector: list[float]) -> list[float]:
    length = sum(number * number for number in vector) ** 0.5
    return [number / length for number in vector]


def plain(side: str, *texts: str, width: int = WIDTH) -> list[list[float]]:
    return [fake_vector(side, text, width) for text in texts]


def test_each_text_has_its_vector_in_order(client: TestClient) -> None:
    reply = ask(client, input=TEXTS).json()
    assert (reply["object"], reply["model"]) == ("list", "e5")
    assert [one["index"] for one in reply["data"]] == [0, 1, 2, 3]
    assert [one["embedding"] for one in reply["data"]] == plain("text", *TEXTS)
    assert all(one["object"] == "embedding" for one in reply["data"])
    assert reply["usage"] == {"prompt_tokens": 7, "total_tokens": 7}


def test_one_string_is_one_text(client: TestClient) -> None:
    (one,) = ask(client, input="two words").json()["data"]
    assert one["embedding"] == plain("text", "two words")[0]
    assert ask(client, "/embed", inputs="two words").json() == plain("text", "two words")


@pytest.mark.parametrize("path", ["/embed", "/tei/embed", "/models/e5/embed", "/x/y/embed"])
def test_tei_returns_a_bare_list(client: TestClient, path: str) -> None:
    reply = ask(client, path, inputs=TEXTS, normalize=True, truncate=True)
    assert reply.json() == plain("text", *TEXTS)


def test_base64_has_the_bytes_of_the_numbers(client: TestClient) -> None:
    reply = ask(client, input=TEXTS, encoding_format="base64").json()
    found = [base64.b64decode(one["embedding"]) for one in reply["data"]]
    assert [list(struct.unpack(f"<{WIDTH}f", data)) for data in found] == plain("text", *TEXTS)


@pytest.mark.parametrize(
    ("fields", "side"),
    [
        ({"input_type": "query"}, "query"),
        ({"input_type": "search_query"}, "query"),
        ({"prompt_name": "passage"}, "document"),
        ({"task": "retrieval.passage"}, "document"),
        ({"input_type": "document", "prompt_name": "corpus"}, "document"),
        ({"input_type": None, "prompt_name": ""}, "text"),
    ],
)
def test_the_prompt_is_chosen_by_any_of_its_names(
    client: TestClient, fields: dict[str, Any], side: str
) -> None:
    reply = ask(client, input=["a"], **fields).json()
    assert reply["data"][0]["embedding"] == plain(side, "a")[0]


def test_vectors_may_be_cut_where_the_checkpoint_allows_it(client: TestClient) -> None:
    reply = ask(client, input=["a"], dimensions=2).json()
    assert reply["data"][0]["embedding"] == plain("text", "a")[0][:2]
    assert ask(client, input=["a"], dimensions=WIDTH).status_code == 200
    wrong = ask(client, status=400, input=["a"], dimensions=2, model="three").json()
    assert wrong["error"]["param"] == "dimensions"
    assert "vectors of 3 numbers" in wrong["message"]
    wrong = ask(client, status=400, input=["a"], dimensions=9).json()
    assert "vectors of 1 to 8 numbers" in wrong["message"]


@pytest.mark.parametrize("form", ["application/json", "application/msgpack"])
def test_a_large_reply_comes_in_parts(client: TestClient, form: str) -> None:
    texts = [f"text {number}" for number in range(250)]
    body = {"model": "wide", "input": texts}
    with client.stream("POST", "/v1/embeddings", json=body, headers={"accept": form}) as reply:
        parts = list(reply.iter_raw())
    assert "content-length" not in reply.headers
    assert reply.headers["content-type"] == form
    assert "x-request-id" in reply.headers
    assert len(parts) > 10
    assert max(map(len, parts)) < 300_000
    decode = msgspec.json.decode if form.endswith("json") else msgspec.msgpack.decode
    found = decode(b"".join(parts))
    assert [one["index"] for one in found["data"]] == list(range(250))
    assert [one["embedding"] for one in found["data"]] == plain("text", *texts, width=WIDE)
    assert found["usage"]["total_tokens"] == 500


def test_a_small_reply_has_its_length(client: TestClient) -> None:
    assert "content-length" in ask(client, input="a").headers


@pytest.mark.parametrize(
    ("path", "fields", "param", "message"),
    [
        ("/v1/embeddings", {"input": [1, 2]}, "input[0]", "check_embedding_ctx_length=False"),
        ("/v1/embeddings", {"input": [[1, 2], [3]]}, "input[0]", "token ids are not read"),
        ("/v1/embeddings", {"input": []}, "input", "is empty"),
        ("/v1/embeddings", {}, "input", "is missing"),
        ("/v1/embeddings", {"input": ["a"] * 301}, "input", "the limit is 300"),
        ("/v1/embeddings", {"input": ["a", "b" * 101]}, "input[1]", "101 bytes"),
        ("/v1/embeddings", {"input": "a", "encoding_format": "int8"}, "encoding_format", "base64"),
        ("/v1/embeddings", {"input": "a", "input_type": "x"}, "input_type", "query or document"),
        ("/v1/embeddings", {"input": "a", "dimensions": -1}, "dimensions", "negative"),
        (
            "/v1/embeddings",
            {"input": "a", "input_type": "query", "prompt_name": "document"},
            "input_type",
            "contradict",
        ),
        ("/embed", {"inputs": [1]}, None, "token ids are not read"),
        ("/embed", {"inputs": [["a", "b"]]}, None, "expected a string"),
        ("/embed", {"inputs": {"a": "b"}}, None, "expected a string or a list"),
        ("/embed", {}, None, "is missing"),
    ],
)
def test_bad_requests(
    client: TestClient, path: str, fields: dict[str, Any], param: str | None, message: str
) -> None:
    reply = client.post(path, json={"model": "e5"} | fields)
    assert reply.status_code == 400
    found = reply.json()
    assert message in found["message"]
    if param is None:
        assert (found["error"], found["error_type"]) == (found["message"], "Validation")
    else:
        assert found["error"]["param"] == param


def test_no_request_has_more_texts_than_the_vectors_of_one_may_take() -> None:
    app = create_app(Settings(models={"e5": fake("fake?vectors=3")}))
    with TestClient(app) as client:
        reply = client.post("/v1/embeddings", json={"input": ["a"] * 2049})
        assert reply.status_code == 400
        assert "the limit is 2048" in reply.json()["message"]


# -- which model -----------------------------------------------------------------------------------


def test_a_model_without_vectors_is_refused_with_those_that_have_some(client: TestClient) -> None:
    reply = ask(client, status=400, input="a", model="reranker").json()
    assert reply["error"]["param"] == "model"
    assert reply["message"].endswith("name one of e5, wide, three")


def test_without_a_name_the_first_model_with_vectors_encodes(client: TestClient) -> None:
    reply = client.post("/embed", json={"inputs": "a"})
    assert reply.json() == plain("text", "a")
    assert "'e5' encoded" in reply.headers["x-gateway-warning"]


@pytest.mark.parametrize("name", ["both", "deep"])
def test_several_models_have_no_vectors_in_common(client: TestClient, name: str) -> None:
    reply = ask(client, status=400, input="a", model=name).json()
    assert "cannot be compared" in reply["message"]
    assert "name one of e5, wide, three" in reply["message"]


def test_where_no_model_has_vectors_the_remedy_is_the_line_that_serves_one() -> None:
    app = create_app(Settings(models={"reranker": fake()}))
    with TestClient(app) as client:
        # Not loaded yet, it may be one: so its shard refuses the job.
        reply = client.post("/v1/embeddings", json={"input": "a"})
        assert reply.status_code == 400
        assert "no vectors of single texts" in reply.json()["message"]
        reply = client.post("/v1/embeddings", json={"input": "a"})
        assert reply.status_code == 400
        assert 'scorer = "cosine"' in reply.json()["message"]


def test_unknown_models_are_not_found(client: TestClient) -> None:
    assert ask(client, status=404, input="a", model="nope").json()["error"]["code"] == (
        "model_not_found"
    )


def test_models_say_that_they_give_vectors(client: TestClient) -> None:
    cards = client.get("/v1/models").json()["data"]
    able = [card["id"] for card in cards if "embed" in card["model_ability"]]
    assert able == ["e5", "wide", "three"]


def test_keys_are_asked_for_and_counted(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    secrets = write_keys(file, e5={"models": ("e5",), "requests_per_minute": 2}, admin={"admin": 1})
    app = create_app(Settings(**SETTINGS, keys_file=file))
    with TestClient(app) as client:
        until_ready(client)
        guarded = Guarded(app, client, secrets)
        body = {"input": ["a", "b"]}
        assert client.post("/v1/embeddings", json=body).status_code == 401
        own = bearer(secrets["e5"])
        assert client.post("/v1/embeddings", json=body, headers=own).status_code == 200
        other = client.post("/v1/embeddings", json=body | {"model": "wide"}, headers=own)
        assert other.status_code == 403
        assert client.post("/embed", json={"inputs": "a"}, headers=own).status_code == 429
        assert guarded.metric("reranker_key_documents_total", key="e5") == 2


# -- too long, too late, and the rest of a request -------------------------------------------------


def test_a_text_that_is_too_long_is_cut_and_reported(client: TestClient) -> None:
    reply = ask(client, input=["a", LONG])
    assert "1 of 2 documents were truncated" in reply.headers["x-gateway-warning"]
    assert reply.json()["usage"]["total_tokens"] == 9
    refused = ask(client, status=400, input=["a", LONG], truncate=False).json()
    assert refused["error"]["param"] == "input[1]"
    assert "is too long" in refused["message"]
    refused = ask(client, "/embed", 400, inputs=["a", LONG], model="three").json()
    assert "inputs[1] is too long" in refused["error"]
    allowed = ask(client, "/embed", inputs=["a", LONG], model="three", truncate=True)
    assert "truncated" in allowed.headers["x-gateway-warning"]


def test_a_deadline_is_kept() -> None:
    app = create_app(Settings(models={"e5": fake("fake?vectors=3&delay_ms=300")}))
    with TestClient(app) as client:
        until_ready(client)
        headers = {"x-request-timeout-ms": "100"}
        reply = client.post("/v1/embeddings", json={"input": "a"}, headers=headers)
        assert reply.status_code == 504
        assert reply.json()["error"]["code"] == "deadline_exceeded"


def test_the_cost_of_texts_is_learnt_without_the_query_that_pairs_have(client: TestClient) -> None:
    app: Any = client.app
    model, learnt = app.state.gateway.fleet.model("three"), []
    (replica,) = (shard.replica for shard in model.replicas)
    for shared_tokens in (3, 0):
        replica.facts = replace(replica.facts, shared_tokens=shared_tokens)
        model._estimate = TokenEstimate().with_facts(replica.facts)
        ask(client, input=["a b c d e f"] * 20, model="three")
        learnt.append(model._estimate.tokens_per_byte)
    assert learnt[0] == learnt[1] != TokenEstimate().tokens_per_byte


def test_fields_without_effect_are_reported(client: TestClient) -> None:
    reply = ask(client, input="a", user="me", top_n=3, raw_scores=True)
    for name in ("user", "top_n", "raw_scores"):
        assert repr(name) in reply.headers["x-gateway-warning"]


def test_requests_are_counted_and_scores_are_not(client: TestClient) -> None:
    ask(client, "/embed", inputs=["a"], model="three")
    found = client.get("/metrics").text
    assert 'reranker_requests_total{code="200",dialect="tei_embed",model="three"}' in found
    assert 'reranker_documents_total{model="three"' in found
    assert 'reranker_relevance_score_count{model="three"}' not in found


def test_a_wrong_method_and_a_path_nearby_are_told(client: TestClient) -> None:
    assert client.get("/v1/embeddings").status_code == 405
    assert "did you mean /embed?" in client.post("/embe", json={}).json()["message"]
    assert "POST /v1/embeddings" in client.get("/").json()["embeddings"]
