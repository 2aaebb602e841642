"""llama-index: Cohere, Jina, TEI, Voyage and Mixedbread rerankers."""

from typing import Any

import pytest

pytest.importorskip("llama_index.core")

import cohere
import mixedbread
import voyageai
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.postprocessor.cohere_rerank import CohereRerank
from llama_index.postprocessor.jinaai_rerank import JinaRerank
from llama_index.postprocessor.mixedbreadai_rerank import MixedbreadAIRerank
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference
from llama_index.postprocessor.voyageai_rerank import VoyageAIRerank

from tests.clients.cases import DOCUMENTS, MODEL, NO_MODEL, QUERY, TOO_MUCH, Expected

BUNDLE = QueryBundle(QUERY)


def nodes() -> list[NodeWithScore]:
    """Return new nodes: some rerankers write into them."""
    return [NodeWithScore(node=TextNode(text=text), score=0.5) for text in DOCUMENTS]


def check(ranker: Any, expected: Expected) -> None:
    found = ranker.postprocess_nodes(nodes(), BUNDLE)
    expected.check_texts([node.text for node in found], found[0].score)


def fails(ranker: Any, kind: type[Exception], message: str = "") -> None:
    with pytest.raises(kind) as error:
        ranker.postprocess_nodes(nodes(), BUNDLE)
    assert message in str(error.value)


def test_cohere(url: str, busy: str, expected: Expected) -> None:
    def ranker(at: str, model: str = MODEL) -> CohereRerank:
        return CohereRerank(api_key="any", base_url=at, model=model, top_n=3, max_retries=1)

    check(ranker(url), expected)
    fails(ranker(url, "no-such-model"), cohere.NotFoundError, NO_MODEL)


def test_jina(url: str, busy: str, expected: Expected) -> None:
    def ranker(at: str, model: str = MODEL) -> JinaRerank:
        return JinaRerank(api_key="any", base_url=f"{at}/v1", model=model, top_n=3)

    check(ranker(url), expected)
    fails(ranker(url, "no-such-model"), RuntimeError, NO_MODEL)
    fails(ranker(busy), RuntimeError, TOO_MUCH)


@pytest.mark.parametrize("suffix", ["", "/tei", f"/models/{MODEL}"])
def test_tei(url: str, expected: Expected, suffix: str) -> None:
    check(TextEmbeddingInference(base_url=url + suffix, top_n=3), expected)


def test_tei_loses_every_message(busy: str) -> None:
    """The package asserts the number of scores before it checks for an error."""
    fails(TextEmbeddingInference(base_url=busy, top_n=3), AssertionError)


def test_voyage(url: str, busy: str, expected: Expected) -> None:
    def ranker(at: str, model: str = MODEL) -> VoyageAIRerank:
        made = VoyageAIRerank(api_key="any", model=model)
        made._client = voyageai.Client(api_key="any", base_url=f"{at}/v1")
        return made

    check(ranker(url), expected)
    fails(ranker(url, "no-such-model"), voyageai.error.VoyageError, NO_MODEL)
    fails(ranker(busy), voyageai.error.ServiceUnavailableError)


def test_mixedbread(
    url: str, busy: str, expected: Expected, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ranker(at: str, model: str = MODEL) -> MixedbreadAIRerank:
        monkeypatch.setenv("MIXEDBREAD_BASE_URL", at)
        return MixedbreadAIRerank(api_key="any", model=model, top_n=3, max_retries=0)

    check(ranker(url), expected)
    fails(ranker(url, "no-such-model"), mixedbread.NotFoundError, NO_MODEL)
    fails(ranker(busy), mixedbread.InternalServerError, TOO_MUCH)
