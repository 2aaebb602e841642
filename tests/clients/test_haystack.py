"""haystack: Cohere, Jina, TEI and vLLM rankers, sync and async."""

from typing import Any

import pytest

pytest.importorskip("haystack")

import cohere
from haystack import Document
from haystack.utils import Secret
from haystack_integrations.components.rankers.cohere import CohereRanker
from haystack_integrations.components.rankers.huggingface_api import HuggingFaceTEIRanker
from haystack_integrations.components.rankers.jina import JinaRanker
from haystack_integrations.components.rankers.vllm import VLLMRanker

from tests.clients.cases import DOCUMENTS, MODEL, NO_DOCUMENTS, NO_MODEL, QUERY, TOO_MUCH, Expected

PAGES = [Document(content=text, meta={"n": n}) for n, text in enumerate(DOCUMENTS)]
KEY = Secret.from_token("any")


def check(expected: Expected, output: dict[str, Any]) -> None:
    found = output["documents"]
    expected.check([page.meta["n"] for page in found], found[0].score)


def fails(ranker: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as error:
        ranker.run(query=QUERY, documents=PAGES)
    assert message in str(error.value)


def test_cohere(url: str, expected: Expected) -> None:
    ranker = CohereRanker(model=MODEL, api_key=KEY, api_base_url=url)
    check(expected, ranker.run(query=QUERY, documents=PAGES))
    fails(
        CohereRanker(model="no-such-model", api_key=KEY, api_base_url=url),
        cohere.NotFoundError,
        NO_MODEL,
    )
    with pytest.raises(cohere.BadRequestError) as empty:
        ranker.run(query=QUERY, documents=[])
    assert NO_DOCUMENTS in str(empty.value)


async def test_jina(url: str, busy: str, expected: Expected) -> None:
    def ranker(at: str, model: str = MODEL) -> JinaRanker:
        return JinaRanker(model=model, api_key=KEY, base_url=f"{at}/v1/rerank")

    check(expected, ranker(url).run(query=QUERY, documents=PAGES))
    check(expected, await ranker(url).run_async(query=QUERY, documents=PAGES))
    fails(ranker(url, "no-such-model"), RuntimeError, NO_MODEL)
    fails(ranker(busy), RuntimeError, TOO_MUCH)


async def test_tei(url: str, busy: str, expected: Expected) -> None:
    ranker = HuggingFaceTEIRanker(url=url, max_retries=1)
    check(expected, ranker.run(query=QUERY, documents=PAGES))
    check(expected, await ranker.run_async(query=QUERY, documents=PAGES))
    fails(HuggingFaceTEIRanker(url=busy, max_retries=1), RuntimeError, "503 Service Unavailable")


async def test_vllm(url: str, busy: str, expected: Expected) -> None:
    def ranker(at: str, model: str = MODEL) -> VLLMRanker:
        return VLLMRanker(model=model, api_key=KEY, api_base_url=f"{at}/v1")

    check(expected, ranker(url).run(query=QUERY, documents=PAGES))
    check(expected, await ranker(url).run_async(query=QUERY, documents=PAGES))
    fails(ranker(url, "no-such-model"), RuntimeError, NO_MODEL)
    fails(ranker(busy), RuntimeError, TOO_MUCH)
