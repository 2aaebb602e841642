"""Vectors from a real gateway: by the default model, and by shards that are lost or poisoned."""

import asyncio
import math
import os
import signal
from pathlib import Path
from typing import Any

from shards.engines.fake import fake_vector
from tests.system.running import Gateway, running

_EMBEDDED = """
[models.embedded]
source = "embedded"
devices = ["cpu"]
dtype = "fp32"
score_cache = false
"""
_FAKE = """
[supervision]
backoff_first_seconds = 0.05
crash_limit = 100
[models.fake]
source = "fake?delay_ms=20&vectors=4"
engine = "fake"
"""


async def _encode(gateway: Gateway, texts: list[str], **fields: Any) -> tuple[int, Any]:
    body = {"input": texts, **fields}
    headers = {"X-Request-Timeout-Ms": "240000"}
    url = f"{gateway.url}/v1/embeddings"
    async with gateway.session.post(url, json=body, headers=headers) as reply:
        return reply.status, await reply.json()


def _cosine(first: list[float], second: list[float]) -> float:
    return sum(a * b for a, b in zip(first, second, strict=True))


async def test_the_default_model_gives_vectors_by_which_it_ranks(tmp_path: Path) -> None:
    query, texts = "What is the capital of France?", ["Paris is it.", "Soup is hot.", "Gravity."]
    async with running(_EMBEDDED, tmp_path) as gateway:
        await gateway.until_ready()
        status, asked = await _encode(gateway, [query], input_type="query")
        assert status == 200
        _, found = await _encode(gateway, texts, input_type="document")
        vectors = [one["embedding"] for one in found["data"]]
        assert all(math.isclose(_cosine(one, one), 1.0, abs_tol=1e-5) for one in vectors)
        cosines = [_cosine(asked["data"][0]["embedding"], one) for one in vectors]
        _, ranked, _ = await gateway.rerank(texts, query=query, raw_scores=True)
        margins = {one["index"]: one["relevance_score"] for one in ranked["results"]}
        scale = (margins[0] - margins[1]) / (cosines[0] - cosines[1])
        assert scale > 0
        assert math.isclose(
            margins[0] - margins[2], scale * (cosines[0] - cosines[2]), abs_tol=1e-3
        )
        # Nothing is computed that a vector of the other kind of request has shown already.
        usage = ranked["usage"]
        assert usage["prompt_tokens_details"]["cached_tokens"] >= usage["prompt_tokens"] - 1


async def test_a_shard_that_is_killed_costs_no_request_its_vectors(tmp_path: Path) -> None:
    async with running(_FAKE, tmp_path, chaos=True) as gateway:
        shards = await gateway.until_ready()
        (pid,) = (shard["pid"] for shard in shards.values())
        texts = [[f"{request} {place}" for place in range(5)] for request in range(60)]
        asking = [asyncio.create_task(_encode(gateway, some)) for some in texts]
        await asking[0]
        os.kill(pid, signal.SIGKILL)
        for some, task in zip(texts, asking, strict=True):
            status, body = await task
            assert status == 200, body
            assert [one["embedding"] for one in body["data"]] == [
                fake_vector("text", text, 4) for text in some
            ]


async def test_a_poisonous_text_is_found_and_refused_alone(tmp_path: Path) -> None:
    async with running(_FAKE, tmp_path, chaos=True) as gateway:
        await gateway.until_ready()
        others = [asyncio.create_task(_encode(gateway, [f"other {n}", "fine"])) for n in range(20)]
        texts = ["fine", "a <<segv>> text", "fine, too"]
        status, body = await _encode(gateway, texts)
        assert (status, body["error"]["code"]) == (400, "quarantined"), body
        assert body["error"]["param"] == "input[1]"
        assert [status for status, _ in await asyncio.gather(*others)] == [200] * 20
        status, body = await _encode(gateway, [texts[0], texts[2]])
        assert status == 200
        status, body = await _encode(gateway, ["<<nan>>"])
        assert (status, body["error"]["code"]) == (500, "engine_error")
