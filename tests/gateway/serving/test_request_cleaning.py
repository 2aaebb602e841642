"""Texts are cleaned before they are scored, through the whole gateway: scored, kept, reported."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from gateway.app import create_app
from gateway.config import ModelSettings, Settings
from shards.engines.fake import margin

ALL = "html,zero-width,nfkc"
SENT = ["<p>one &amp; two</p>", "plain words", "one & two"]
READ = ["one & two", "plain words", "one & two"]


def _model(**settings: Any) -> ModelSettings:
    source = settings.pop("source", "fake")
    return ModelSettings.model_validate(
        {"source": source, "engine": "fake", "devices": ["cpu"]} | settings
    )


SETTINGS = Settings(
    models={
        "plain": _model(),
        "cleans": _model(clean_text=ALL, max_length=40, passage_overlap=0),
        "vectors": _model(clean_text=["html"], source="fake?vectors=4"),
    },
)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = create_app(SETTINGS)
    with TestClient(app, client=("127.0.0.1", 1), base_url="http://127.0.0.1") as client:
        yield client


def _post(client: TestClient, path: str = "/v1/rerank", status: int = 200, **fields: Any) -> Any:
    response = client.post(path, json={"query": "q", "model": "cleans"} | fields)
    assert response.status_code == status, response.text
    return response.json()


def _margins(reply: Any) -> dict[int, float]:
    return {result["index"]: result["relevance_score"] for result in reply["results"]}


def test_the_cleaned_texts_are_scored_and_the_sent_ones_come_back(client: TestClient) -> None:
    reply = _post(client, query="<b>q</b>", documents=SENT, raw_scores=True, return_documents=True)
    assert _margins(reply) == {at: margin("q", text) for at, text in enumerate(READ)}
    returned = {result["index"]: result["document"]["text"] for result in reply["results"]}
    assert returned == dict(enumerate(SENT))
    warning = reply["meta"]["warnings"][0]
    assert warning == (
        "1 of 3 documents and 1 of 1 queries were cleaned before scoring (html, zero-width, nfkc)"
    )


def test_a_model_that_does_not_clean_scores_what_is_sent(client: TestClient) -> None:
    reply = _post(client, model="plain", documents=SENT, raw_scores=True)
    assert _margins(reply) == {at: margin("q", text) for at, text in enumerate(SENT)}


def test_clean_texts_are_not_reported(client: TestClient) -> None:
    assert "warnings" not in _post(client, documents=["other words", "some text"])["meta"]


def test_texts_that_are_equal_once_cleaned_are_scored_once(client: TestClient) -> None:
    reply = _post(client, query="equal?", documents=SENT, return_details=True)
    sources = {result["index"]: result.get("source") for result in reply["results"]}
    assert sources == {0: None, 1: None, 2: "duplicate"}


def test_a_span_counts_the_characters_of_the_document_as_sent(client: TestClient) -> None:
    words = [f"w{number}&amp;ﬁ" for number in range(100)]
    document = f"<div>{' '.join(words)}</div>"
    reply = _post(
        client,
        documents=[document],
        raw_scores=True,
        return_details=True,
        long_documents="passages",
    )
    (result,) = reply["results"]
    passage = document[result["span"]["start"] : result["span"]["end"]]
    assert 0 < len(passage) < len(document)
    read = passage.replace("&amp;", "&").replace("ﬁ", "fi")
    assert result["relevance_score"] == margin("q", read)


def test_vectors_are_those_of_the_cleaned_text(client: TestClient) -> None:
    fields = {"model": "vectors", "input": ["<p>a &lt; b</p>", "a < b"]}
    response = client.post("/v1/embeddings", json=fields)
    assert response.status_code == 200, response.text
    first, second = (each["embedding"] for each in response.json()["data"])
    assert first == second
    assert response.headers["x-gateway-warning"].startswith("1 of 2 documents were cleaned")


def test_a_large_text_is_cleaned_too(client: TestClient) -> None:
    text = "<p>word</p>" * 10_000
    reply = _post(client, documents=[text, "x"], raw_scores=True, max_tokens_per_doc=10)
    cut = "\n".join(["word"] * 10_000)
    assert _margins(reply)[1] == margin("q", "x")
    assert reply["meta"]["warnings"][0].startswith("1 of 2 documents were cleaned")
    same = _post(client, documents=[cut, "x"], raw_scores=True, max_tokens_per_doc=10)
    assert _margins(same) == _margins(reply)


def test_a_text_that_grows_too_large_is_refused(client: TestClient) -> None:
    reply = _post(client, documents=["x", "\ufdfa" * 300_000], status=400)
    error = reply["error"]
    assert error["param"] == "documents[1]"
    assert "after they were cleaned, more than the 2097152 that travel" in error["message"]


def test_cleaning_is_in_status_models_and_metrics(client: TestClient) -> None:
    _post(client, query="<i>new</i>", documents=["<p>counted</p>"])
    models = {model["name"]: model for model in client.get("/status").json()["models"]}
    assert models["cleans"]["clean_text"] == ["html", "zero-width", "nfkc"]
    assert models["cleans"]["cleaned_texts"] >= 2
    assert (models["plain"]["clean_text"], models["plain"]["cleaned_texts"]) == ([], 0)
    cards = {card["id"]: card for card in client.get("/v1/models").json()["data"]}
    assert cards["cleans"]["clean_text"] == ["html", "zero-width", "nfkc"]
    assert "clean_text" not in cards["plain"]
    metrics = client.get("/metrics").text
    count = f'reranker_cleaned_texts_total{{model="cleans"}} {models["cleans"]["cleaned_texts"]}'
    assert count in metrics
