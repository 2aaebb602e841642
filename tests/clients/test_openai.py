"""openai: the list of models, and its own errors."""

import openai
import pytest

from tests.clients.cases import MODEL, NO_MODEL, NO_SUCH_KEY, WRONG_KEY, Keyed


def test_models(url: str) -> None:
    client = openai.OpenAI(api_key="any", base_url=f"{url}/v1")
    assert [model.id for model in client.models.list()] == ["embedded", "embedded-qwen3"]
    model = client.models.retrieve(MODEL)
    assert (model.id, model.object, model.owned_by) == (MODEL, "model", "rerank-gateway")
    assert model.created > 0


async def test_async(url: str) -> None:
    async with openai.AsyncOpenAI(api_key="any", base_url=f"{url}/v1") as client:
        assert MODEL in [model.id async for model in client.models.list()]


def test_errors(url: str) -> None:
    client = openai.OpenAI(api_key="any", base_url=f"{url}/v1", max_retries=0)
    for name in ("no-such-model", "org/no-such-model"):
        with pytest.raises(openai.NotFoundError) as unknown:
            client.models.retrieve(name)
        assert NO_MODEL.replace("no-such-model", name) in str(unknown.value)
        assert unknown.value.code == "model_not_found"
        assert unknown.value.type == "invalid_request_error"
        assert (unknown.value.request_id or "").startswith("rerank-")


def test_keys(keyed: Keyed) -> None:
    def client(key: str) -> openai.OpenAI:
        return openai.OpenAI(api_key=key, base_url=f"{keyed.url}/v1", max_retries=0)

    assert [model.id for model in client(keyed.key).models.list()] == [MODEL]
    with pytest.raises(openai.AuthenticationError) as refused:
        client(WRONG_KEY).models.list()
    assert NO_SUCH_KEY in str(refused.value)
    assert (refused.value.code, refused.value.type) == ("invalid_api_key", "authentication_error")
