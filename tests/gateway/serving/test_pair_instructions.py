"""Instructions of single pairs, through a gateway with models that read them and that do not."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from gateway.app import create_app
from gateway.config import ModelSettings, Settings

QUERY, PASSAGE = "capital of France", "Paris is the capital of France."
INSTRUCTIONS = ("Find the passage that answers the question", "", "Find texts about bananas")


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    models = {
        name: ModelSettings(source=f"embedded:{name}", devices=("cpu",), dtype="fp32")
        for name in ("bert", "qwen3")
    }
    app = create_app(Settings(models=models))
    with TestClient(app, client=("127.0.0.1", 1), base_url="http://127.0.0.1") as client:
        yield client


def _post(client: TestClient, path: str, status: int = 200, **fields: Any) -> Any:
    response = client.post(path, json={"raw_scores": True} | fields)
    assert response.status_code == status, response.text
    return response.json()


def _alone(client: TestClient, instruction: str) -> float:
    pair = {"query": QUERY, "passage": PASSAGE}
    reply = _post(client, "/rerank", model="qwen3", pairs=[pair], instruction=instruction)
    (score,) = reply["scores"]
    return float(score)


def test_each_pair_is_scored_by_its_own_instruction(client: TestClient) -> None:
    expected = [_alone(client, instruction) for instruction in INSTRUCTIONS]
    assert len(set(expected)) == 3
    pairs = [{"query": QUERY, "passage": PASSAGE, "instruction": own} for own in INSTRUCTIONS]
    reply = _post(client, "/rerank", model="qwen3", pairs=pairs)
    assert reply["scores"] == pytest.approx(expected, abs=1e-4)
    queries = [{"text": QUERY, "instruction": own} for own in INSTRUCTIONS]
    reply = _post(client, "/v1/score", model="qwen3", text_1=queries, text_2=[PASSAGE] * 3)
    assert [each["score"] for each in reply["data"]] == pytest.approx(expected, abs=1e-4)


def test_one_query_with_an_instruction_counts_for_all_documents(client: TestClient) -> None:
    query = {"text": QUERY, "instruction": INSTRUCTIONS[2]}
    reply = _post(client, "/v1/rerank", model="qwen3", query=query, documents=[PASSAGE])
    expected = _alone(client, INSTRUCTIONS[2])
    assert reply["results"][0]["relevance_score"] == pytest.approx(expected, abs=1e-4)


def test_a_model_without_a_place_for_it_refuses_the_pair(client: TestClient) -> None:
    pair = {"query": QUERY, "passage": PASSAGE}
    pairs = [pair, pair | {"instruction": "Find it"}]
    reply = _post(client, "/rerank", 400, model="bert", pairs=pairs)
    assert reply["error"]["param"] == "pairs[1]"
    assert "model 'bert' has no place for one: send the pair without it" in reply["message"]
    queries = [QUERY, {"text": QUERY, "task": "Find it"}]
    reply = _post(client, "/v1/score", 400, model="bert", text_1=queries, text_2=[PASSAGE] * 2)
    assert reply["error"]["param"] == "text_1[1]"
    blank = [pair | {"instruction": " "}, pair]
    assert len(_post(client, "/rerank", model="bert", pairs=blank)["scores"]) == 2
    reply = _post(
        client, "/v1/rerank", model="bert", query=QUERY, documents=[PASSAGE], instruction="Find it"
    )
    assert "no place for an instruction" in " ".join(reply["meta"]["warnings"])
