"""A query that is longer than a batch, over HTTP: its request is a few jobs and a few batches."""

from pathlib import Path

from tests.system.running import running

_CONFIG = """
[models.small]
source = "embedded:qwen3"
token_budget = 512
prefix_cache_mb = 0
"""
_QUERY = " ".join(f"what about number {number} of all those there are?" for number in range(150))
_DOCUMENTS = [f"number {number} is one of them" for number in range(100)]


async def test_a_long_query_is_computed_once_for_a_request_of_many_jobs(tmp_path: Path) -> None:
    async with running(_CONFIG, tmp_path) as gateway:
        await gateway.until_ready()
        status, body, _ = await gateway.rerank(_DOCUMENTS, query=_QUERY)
        assert status == 200
        usage = body["usage"]
        batches = await gateway.metric("reranker_batch_pairs_count")
        misses = await gateway.metric("reranker_prefix_misses_total")
    query = usage["prompt_tokens"] / len(_DOCUMENTS)
    assert query > 2 * 512
    saved = usage["prompt_tokens_details"]["cached_tokens"]
    computed = usage["prompt_tokens"] - saved
    # The rest is the query's tokens and some of each document. On an overloaded machine a job may
    # come so late that the query is no longer kept, and compute it again.
    assert computed < 4 * query + 40 * len(_DOCUMENTS)
    assert misses <= 2 * 4
    assert batches <= computed / 512 + 8
