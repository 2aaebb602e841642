"""The model `embedded` behind a gateway: order, counts, warnings, and vectors that are kept."""

from pathlib import Path

from tests.system.running import running

_CONFIG = """
[models.embedded]
source = "embedded"
devices = ["cpu"]
dtype = "fp32"
score_cache = false
"""
_DOCUMENTS = ["Soup is hot.", "Париж — столица Франции.", "Gravity attracts two bodies."]
_LONG = "Soup is hot and thick. " * 300 + "Paris is the capital of France."


async def test_a_bi_encoder_behaves_as_any_model(tmp_path: Path) -> None:
    async with running(_CONFIG, tmp_path) as gateway:
        await gateway.until_ready()
        status, body, _ = await gateway.rerank(_DOCUMENTS, query="which is the capital of France?")
        assert status == 200
        first, *others = body["results"]
        assert first["index"] == 1
        assert 1 > first["relevance_score"] > 0.5 > others[0]["relevance_score"] > 0
        new = body["usage"]
        status, body, _ = await gateway.rerank(_DOCUMENTS, query="what attracts bodies?")
        known = body["usage"]
        assert body["results"][0]["index"] == 2
        computed = known["prompt_tokens"] - known["prompt_tokens_details"]["cached_tokens"]
        assert computed < new["prompt_tokens"] - new["prompt_tokens_details"]["cached_tokens"]
        assert computed < 12  # the query, with its prompt

        status, body, _ = await gateway.rerank(
            _DOCUMENTS, query="capital of France", instruction="Find capitals"
        )
        assert status == 200
        assert any("instruction" in warning for warning in body["meta"]["warnings"])
        status, body, _ = await gateway.rerank([_LONG, "Soup."], query="capital of France")
        cut = {result["index"]: result["relevance_score"] for result in body["results"]}
        assert any("512 tokens a text" in warning for warning in body["meta"]["warnings"])
        status, body, _ = await gateway.rerank(
            [_LONG, "Soup."], query="capital of France", long_documents="passages"
        )
        read = {result["index"]: result["relevance_score"] for result in body["results"]}
        assert read[0] > cut[0] + 0.1
        status, body, _ = await gateway.rerank(_DOCUMENTS, query="word " * 600)
        assert status == 400
        assert "tokens of a query" in str(body)
