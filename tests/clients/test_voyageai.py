"""voyageai: `Client` and `AsyncClient`."""

import subprocess
from pathlib import Path

import pytest

voyageai = pytest.importorskip("voyageai")

from tests.clients.cases import (
    BEST,
    DOCUMENTS,
    MODEL,
    NO_DOCUMENTS,
    NO_MODEL,
    QUERY,
    Expected,
)
from tests.clients.conftest import CLEAN, KEYED, PYTHON, ROOT, serving

BASES = pytest.mark.parametrize("suffix", ["/v1", "/voyage/v1"])


@BASES
def test_rerank(url: str, expected: Expected, suffix: str) -> None:
    client = voyageai.Client(api_key="any", base_url=url + suffix)
    found = client.rerank(QUERY, DOCUMENTS, MODEL)
    expected.check([result.index for result in found.results], found.results[0].relevance_score)
    assert found.results[0].document == BEST
    assert found.total_tokens > 20
    assert [result.index for result in client.rerank(QUERY, DOCUMENTS, MODEL, top_k=1).results] == [
        1
    ]


@BASES
async def test_async(url: str, expected: Expected, suffix: str) -> None:
    client = voyageai.AsyncClient(api_key="any", base_url=url + suffix)
    found = await client.rerank(QUERY, DOCUMENTS, MODEL, truncation=False)
    expected.check([result.index for result in found.results], found.results[0].relevance_score)


@BASES
async def test_errors(url: str, busy: str, suffix: str) -> None:
    client = voyageai.Client(api_key="any", base_url=url + suffix)
    with pytest.raises(voyageai.error.VoyageError) as unknown:
        client.rerank(QUERY, DOCUMENTS, "no-such-model")
    assert NO_MODEL in str(unknown.value)
    assert "Request rerank-" in str(unknown.value)  # from the request-id header
    with pytest.raises(voyageai.error.InvalidRequestError) as empty:
        client.rerank(QUERY, [], MODEL)
    assert NO_DOCUMENTS in str(empty.value)
    with pytest.raises(voyageai.error.ServiceUnavailableError):  # the SDK drops the body of a 503
        voyageai.Client(api_key="any", base_url=busy + suffix).rerank(QUERY, DOCUMENTS, MODEL)
    with pytest.raises(voyageai.error.InvalidRequestError):
        await voyageai.AsyncClient(api_key="any", base_url=url + suffix).rerank(QUERY, [], MODEL)


def test_the_detail_of_a_429_is_recognised(tmp_path: Path) -> None:
    """Without `detail` the SDK takes a 429 for an invalid response, and never tries again."""
    (tmp_path / "gateway.toml").write_text(KEYED)
    keys = ["--keys-file", str(tmp_path / "keys.toml"), "--rate", "1"]
    made = subprocess.run(
        [PYTHON, "-m", "gateway", "key", "new", "tests", *keys],
        cwd=ROOT,
        env=CLEAN,
        capture_output=True,
        check=True,
    )
    with serving(tmp_path, "--config", str(tmp_path / "gateway.toml")) as url:
        key = made.stdout.decode().strip()
        client = voyageai.Client(api_key=key, base_url=url + "/voyage/v1")
        client.rerank(QUERY, DOCUMENTS, MODEL)
        with pytest.raises(voyageai.error.RateLimitError):
            client.rerank(QUERY, DOCUMENTS, MODEL)
