"""Vectors: openai, huggingface_hub, langchain-openai, llama-index and litellm."""

import base64
import struct
from typing import Any

import pytest

pytest.importorskip("langchain_openai")

import litellm
import openai
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from langchain_openai import OpenAIEmbeddings
from llama_index.embeddings.huggingface_api import HuggingFaceInferenceAPIEmbedding
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference

from tests.clients.cases import DOCUMENTS, MODEL, NO_MODEL, NO_SUCH_KEY, QUERY, WRONG_KEY, Keyed
from tests.clients.conftest import ask

Vectors = list[list[float]]


@pytest.fixture(scope="module")
def vectors(url: str) -> Vectors:
    """The vectors of the documents, as a plain request has them."""
    reply = ask(f"{url}/v1/embeddings", {"input": DOCUMENTS, "model": MODEL})
    return [one["embedding"] for one in reply["data"]]


@pytest.fixture(scope="module")
def query_vector(url: str) -> list[float]:
    found: Vectors = ask(f"{url}/models/{MODEL}/embed", {"inputs": QUERY, "prompt_name": "query"})
    return found[0]


def check(found: Any, expected: Vectors) -> None:
    """Compare: batches differ, and so do numbers a little."""
    assert len(found) == len(expected)
    for one, right in zip(found, expected, strict=True):
        assert list(map(float, one)) == pytest.approx(right, abs=1e-2)


# -- openai ----------------------------------------------------------------------------------------


def client(url: str, key: str = "any") -> openai.OpenAI:
    return openai.OpenAI(api_key=key, base_url=f"{url}/v1", max_retries=0)


def test_openai(url: str, vectors: Vectors, query_vector: list[float]) -> None:
    reply = client(url).embeddings.create(model=MODEL, input=DOCUMENTS)  # asks for base64
    check([one.embedding for one in reply.data], vectors)
    assert [one.index for one in reply.data] == [0, 1, 2]
    assert (reply.model, reply.object) == (MODEL, "list")
    assert reply.usage.total_tokens == reply.usage.prompt_tokens > 0
    reply = client(url).embeddings.create(model=MODEL, input=DOCUMENTS[0], encoding_format="float")
    check([one.embedding for one in reply.data], vectors[:1])
    reply = client(url).embeddings.create(
        model=MODEL, input=QUERY, extra_body={"input_type": "query"}
    )
    check([reply.data[0].embedding], [query_vector])


def test_openai_base64(url: str, vectors: Vectors) -> None:
    reply = client(url).embeddings.create(
        model=MODEL, input=DOCUMENTS, encoding_format="base64", dimensions=384, user="me"
    )
    data = [base64.b64decode(str(one.embedding)) for one in reply.data]
    check([struct.unpack(f"<{len(one) // 4}f", one) for one in data], vectors)


def test_openai_errors(url: str, keyed: Keyed) -> None:
    with pytest.raises(openai.NotFoundError, match=NO_MODEL):
        client(url).embeddings.create(model="no-such-model", input="a")
    with pytest.raises(openai.BadRequestError, match="token ids are not read"):
        client(url).embeddings.create(model=MODEL, input=[[1, 2, 3]])
    with pytest.raises(openai.BadRequestError, match="vectors of 384 numbers"):
        client(url).embeddings.create(model=MODEL, input="a", dimensions=100)
    with pytest.raises(openai.BadRequestError, match=f"name one of {MODEL}"):
        client(url).embeddings.create(model="embedded-qwen3", input="a")
    with pytest.raises(openai.AuthenticationError, match=NO_SUCH_KEY):
        client(keyed.url, WRONG_KEY).embeddings.create(model=MODEL, input="a")


async def test_openai_async(url: str, vectors: Vectors) -> None:
    async with openai.AsyncOpenAI(api_key="any", base_url=f"{url}/v1") as asking:
        reply = await asking.embeddings.create(model=MODEL, input=DOCUMENTS)
    check([one.embedding for one in reply.data], vectors)


# -- huggingface_hub -------------------------------------------------------------------------------


def test_huggingface_hub(url: str, vectors: Vectors, query_vector: list[float]) -> None:
    asking = InferenceClient(model=f"{url}/models/{MODEL}/embed")
    check(asking.feature_extraction(DOCUMENTS[0], normalize=True, truncate=True), vectors[:1])
    check(asking.feature_extraction(QUERY, prompt_name="query"), [query_vector])
    check(asking.feature_extraction(DOCUMENTS), vectors)
    with pytest.raises(HfHubHTTPError):
        InferenceClient(model=f"{url}/models/no-such-model/embed").feature_extraction("a")


async def test_huggingface_hub_async(url: str, vectors: Vectors) -> None:
    async with AsyncInferenceClient(model=f"{url}/embed") as asking:
        check(await asking.feature_extraction(DOCUMENTS[1]), vectors[1:2])


# -- LangChain -------------------------------------------------------------------------------------


def langchain(url: str, **settings: Any) -> OpenAIEmbeddings:
    return OpenAIEmbeddings(base_url=f"{url}/v1", api_key="any", model=MODEL, **settings)


async def test_langchain_openai(url: str, vectors: Vectors, query_vector: list[float]) -> None:
    asking = langchain(url, check_embedding_ctx_length=False)
    check(asking.embed_documents(DOCUMENTS), vectors)
    check(await asking.aembed_documents(DOCUMENTS), vectors)
    check([asking.embed_query(DOCUMENTS[2])], vectors[2:])
    prompted = langchain(
        url,
        check_embedding_ctx_length=False,
        model_kwargs={"extra_body": {"input_type": "query"}},
    )
    check([prompted.embed_query(QUERY)], [query_vector])


# -- LlamaIndex ------------------------------------------------------------------------------------


async def test_llama_index_openai(url: str, vectors: Vectors) -> None:
    settings: dict[str, Any] = {"model_name": MODEL, "api_base": f"{url}/v1", "api_key": "any"}
    for asking in (OpenAIEmbedding(**settings), OpenAILikeEmbedding(**settings)):
        check(asking.get_text_embedding_batch(DOCUMENTS), vectors)
        check(await asking.aget_text_embedding_batch(DOCUMENTS), vectors)
        check([asking.get_query_embedding(DOCUMENTS[0])], vectors[:1])


async def test_llama_index_tei(url: str, vectors: Vectors) -> None:
    at = f"{url}/models/{MODEL}"
    asking = TextEmbeddingsInference(model_name=MODEL, base_url=at, truncate_text=True)
    check(asking.get_text_embedding_batch(DOCUMENTS), vectors)
    check(await asking.aget_text_embedding_batch(DOCUMENTS), vectors)


def test_llama_index_huggingface_api(url: str, vectors: Vectors) -> None:
    asking = HuggingFaceInferenceAPIEmbedding(model_name=f"{url}/models/{MODEL}/embed", token="any")
    check(asking.get_text_embedding_batch(DOCUMENTS), vectors)


# -- LiteLLM ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["openai", "hosted_vllm", "litellm_proxy"])
def test_litellm(url: str, vectors: Vectors, provider: str) -> None:
    reply = litellm.embedding(
        model=f"{provider}/{MODEL}",
        input=DOCUMENTS,
        api_base=f"{url}/v1",
        api_key="any",
        encoding_format="float",
    )
    check([one["embedding"] for one in reply.data], vectors)
