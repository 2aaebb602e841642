"""The same pair has the same score on every replica, whatever else its request holds."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from gateway.app import create_app
from gateway.config import ModelSettings, Settings

BOUND = 1e-5  # in margin, in fp32; larger margins in proportion
SETTINGS = Settings(
    score_cache_mb=0,
    models={
        "bert": ModelSettings(
            source="embedded:bert", dtype="fp32", devices=("cpu",), replicas=2, threads=1
        )
    },
)
DOCUMENT = "Paris is the capital of France, and it lies on the Seine."


def _margins(client: TestClient, documents: list[str]) -> list[float]:
    asked = {"query": "capital of France", "documents": documents, "raw_scores": True}
    reply = client.post("/rerank", json=asked)
    assert reply.status_code == 200, reply.text
    margins: list[float] = reply.json()["scores"]
    return margins


def _documents_by_shard(client: TestClient) -> list[int]:
    (model,) = client.get("/status").json()["models"]
    shards: list[dict[str, Any]] = model["shards"]
    return [shard["documents"] for shard in shards]


@pytest.mark.timeout(400)
def test_a_pair_scores_the_same_on_each_replica() -> None:
    app = create_app(SETTINGS)
    with TestClient(app, client=("127.0.0.1", 1), base_url="http://127.0.0.1") as client:
        (alone,) = _margins(client, [DOCUMENT])
        bound = BOUND * max(1.0, abs(alone))
        for _ in range(100):  # until both are there and have had a part of a request
            others = [DOCUMENT[:length] for length in range(5, 45, 2)]
            margins = _margins(client, [DOCUMENT] * 60 + others)
            assert margins[:60] == pytest.approx([alone] * 60, abs=bound)
            if all(_documents_by_shard(client)):
                break
        assert all(_documents_by_shard(client))
