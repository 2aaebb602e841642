"""Documents of any length through the whole gateway: read, cut, refused, and reported."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from gateway.app import create_app
from gateway.config import LimitSettings, ModelSettings, Settings
from shards.engines.fake import margin

WORDS = [f"word{number}" for number in range(100)]
LONG = " ".join(WORDS)
WINDOW = 34  # 40 tokens, less the query, the pair's own token, and four to spare


def _model(**settings: Any) -> ModelSettings:
    return ModelSettings(
        source="fake", engine="fake", devices=("cpu",), max_length=40, passage_overlap=0, **settings
    )


SETTINGS = Settings(
    score_cache_mb=0,
    models={
        "cuts": _model(aliases=("old-name",)),
        "reads": _model(long_documents="passages", passage_pooling="mean"),
        "refuses": _model(long_documents="error"),
    },
    limits=LimitSettings(document_bytes=1_000_000, query_bytes=1000),
)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = create_app(SETTINGS)
    with TestClient(app, client=("127.0.0.1", 1), base_url="http://127.0.0.1") as client:
        yield client


def _post(client: TestClient, path: str, status: int = 200, **fields: Any) -> Any:
    response = client.post(path, json={"query": "q", "model": "cuts"} | fields)
    assert response.status_code == status, response.text
    return response.json()


def _passages(text: str) -> list[str]:
    words = text.split()
    return [" ".join(words[at : at + WINDOW]) for at in range(0, len(words), WINDOW)]


def _best(passages: list[str]) -> float:
    return max(margin("q", passage) for passage in passages)


def test_a_long_document_has_the_score_of_its_best_passage(client: TestClient) -> None:
    fields: Any = {"raw_scores": True, "return_details": True, "long_documents": "passages"}
    reply = _post(client, "/v1/rerank", documents=["short one", LONG], **fields)
    results = {result["index"]: result for result in reply["results"]}
    passages = _passages(LONG)
    assert results[1]["relevance_score"] == _best(passages)
    span = results[1]["span"]
    assert margin("q", LONG[span["start"] : span["end"]]) == _best(passages)
    assert (results[1]["passages"], results[1]["truncated"]) == (3, False)
    assert results[1]["tokens"] == 100 + 3 * 2
    assert results[0]["relevance_score"] == margin("q", "short one")
    assert results[0]["span"] == {"start": 0, "end": len("short one")}
    assert reply["usage"]["total_tokens"] == 106 + 4
    assert "warnings" not in reply["meta"]


def test_unread_passages_are_reported(client: TestClient) -> None:
    reply = _post(
        client, "/v1/rerank", documents=[LONG, "a"], max_chunks_per_doc=2, return_details=True
    )
    (warning,) = reply["meta"]["warnings"]
    assert warning == "1 of 2 documents were truncated (2 passages)"
    truncated = {result["index"]: result["truncated"] for result in reply["results"]}
    assert truncated == {0: True, 1: False}


def test_the_model_may_read_passages_by_default(client: TestClient) -> None:
    margins = [margin("q", passage) for passage in _passages(LONG)]
    reply = _post(client, "/v1/rerank", model="reads", documents=[LONG], raw_scores=True)
    (result,) = reply["results"]
    assert result["relevance_score"] == pytest.approx(sum(margins) / 3, rel=1e-6)
    voyage: Any = {"model": "reads", "truncation": True, "raw_scores": True}
    assert _post(client, "/v1/rerank", documents=[LONG], **voyage)["results"] == [result]


def test_the_model_may_refuse_by_default(client: TestClient) -> None:
    reply = _post(client, "/v1/rerank", 400, model="refuses", documents=["a", LONG])
    assert reply["error"]["param"] == "documents[1]"
    assert "the limit is 40 tokens a pair" in reply["message"]
    ways: tuple[dict[str, Any], ...] = (
        {"truncation": True},
        {"truncate": "END"},
        {"long_documents": "truncate"},
        {"max_chunks_per_doc": 9},
    )
    for allowed in ways:
        assert _post(client, "/v1/rerank", model="refuses", documents=[LONG], **allowed)["results"]


def test_coheres_first_version_reads_ten_chunks(client: TestClient) -> None:
    document = " ".join(WORDS * 5)
    reply = _post(client, "/cohere/v1/rerank", documents=[document], raw_scores=True)
    assert reply["results"][0]["relevance_score"] == _best(_passages(document)[:10])
    assert reply["meta"]["warnings"] == ["1 of 1 documents were truncated (10 passages)"]
    more = _post(
        client, "/cohere/v1/rerank", documents=[document], raw_scores=True, max_chunks_per_doc=15
    )
    assert more["results"][0]["relevance_score"] == _best(_passages(document))
    cut = _post(client, "/v2/rerank", documents=[document], raw_scores=True)
    assert "(40 tokens a pair)" in cut["meta"]["warnings"][0]


def test_chunks_are_billed_as_documents(client: TestClient) -> None:
    document = " ".join(WORDS * 50)
    reply = _post(client, "/v1/rerank", documents=[document], long_documents="passages")
    assert reply["meta"]["billed_units"]["search_units"] == 2


@pytest.mark.parametrize("policy", ["truncate", "passages", "error"])
def test_a_query_that_is_too_long_is_an_error_with_the_limit(
    client: TestClient, policy: str
) -> None:
    query = "word " * (39 if policy != "passages" else 30)
    reply = _post(client, "/v1/rerank", 400, query=query, documents=[LONG], long_documents=policy)
    assert "query and instruction take" in reply["message"]
    assert "limit is 40 tokens" in reply["message"]


def test_each_pair_is_read_with_its_own_query(client: TestClient) -> None:
    pairs = [{"query": f"q{at}", "passage": text} for at, text in enumerate((LONG, "a", LONG))]
    body = {"pairs": pairs, "long_documents": "passages", "raw_scores": True}
    scores = client.post("/rerank", json={"model": "cuts", **body}).json()["scores"]
    assert scores == [
        max(margin("q0", passage) for passage in _passages(LONG)),
        margin("q1", "a"),
        max(margin("q2", passage) for passage in _passages(LONG)),
    ]


def test_a_megabyte_has_an_answer(client: TestClient) -> None:
    document = " ".join(WORDS * 1400)
    reply = _post(
        client, "/v1/rerank", documents=[document], long_documents="passages", return_details=True
    )
    (result,) = reply["results"]
    assert len(document) > 900_000
    assert result["truncated"] is False
    assert result["passages"] == -(-100 * 1400 // WINDOW)
    assert result["tokens"] == 100 * 1400 + 2 * result["passages"]


@pytest.mark.parametrize("value", ["cut", "", "passage"])
def test_an_unknown_policy_is_refused(client: TestClient, value: str) -> None:
    reply = _post(client, "/v1/rerank", 400, documents=["a"], long_documents=value)
    assert reply["error"]["param"] == "long_documents"
    assert "use one of truncate, passages, error" in reply["message"]


def test_a_number_of_chunks_must_not_be_negative(client: TestClient) -> None:
    reply = _post(client, "/v1/rerank", 400, documents=["a"], max_chunks_per_doc=-1)
    assert reply["error"]["param"] == "max_chunks_per_doc"


def test_the_default_model_and_aliases_are_reported(client: TestClient) -> None:
    reply = _post(client, "/v1/rerank", documents=["a"], model=None)
    assert reply["meta"]["warnings"] == ["no model was named: the default one, 'cuts', scored"]
    reply = _post(client, "/v1/rerank", documents=["a"], model="old-name")
    assert reply["meta"]["warnings"] == ["'old-name' is an alias here: 'cuts' scored"]
    response = client.post("/tei/rerank", json={"query": "q", "texts": ["a"]})
    assert response.headers["x-gateway-warning"].startswith("no model was named")


def test_passages_are_counted(client: TestClient) -> None:
    def count() -> float:
        (sample,) = [
            sample
            for sample in client.get("/metrics").text.splitlines()
            if sample.startswith('reranker_passages_total{model="cuts"}')
        ]
        return float(sample.split()[-1])

    _post(client, "/v1/rerank", documents=[LONG], long_documents="passages")
    before = count()
    _post(client, "/v1/rerank", documents=[LONG, "a"], long_documents="passages")
    _post(client, "/v1/rerank", documents=[LONG], long_documents="truncate")
    assert count() == before + 3


def test_status_has_the_distribution_of_scores(client: TestClient) -> None:
    def scores() -> Any:
        models = client.get("/status").json()["models"]
        return next(model["scores"] for model in models if model["name"] == "cuts")

    before = scores()
    _post(client, "/v1/rerank", documents=[LONG, "a", "b"])
    after = scores()
    assert after["documents"] == before["documents"] + 3
    assert after["truncated"] == before["truncated"] + 1
    assert 0 < after["p10"] <= after["p50"] <= after["p90"] < 1
    assert after["drift"] == 0


def test_a_request_may_lower_the_limit_of_a_pair(client: TestClient) -> None:
    fields: Any = {"truncate_prompt_tokens": 12, "return_details": True}
    reply = _post(client, "/v1/rerank", documents=[LONG, "a b"], **fields)
    tokens = {result["index"]: result["tokens"] for result in reply["results"]}
    assert tokens == {0: 12, 1: 4}
    (warning,) = reply["meta"]["warnings"]
    assert warning == "1 of 2 documents were truncated (truncate_prompt_tokens 12)"
    both = _post(client, "/v1/rerank", documents=[LONG], max_tokens_per_doc=5, **fields)
    assert both["results"][0]["tokens"] == 7


def test_a_limit_of_a_pair_allows_cuts_where_the_model_refuses_them(client: TestClient) -> None:
    _post(client, "/v1/rerank", 400, documents=[LONG], model="refuses")
    for limit in (-1, 12):
        fields: Any = {"model": "refuses", "truncate_prompt_tokens": limit}
        reply = _post(client, "/v1/rerank", documents=[LONG], **fields)
        assert "1 of 1 documents were truncated" in reply["meta"]["warnings"][0]
    fields = {"model": "refuses", "truncate_prompt_tokens": 12, "truncation": False}
    reply = _post(client, "/v1/rerank", 400, documents=[LONG], **fields)
    assert "truncate_prompt_tokens 12" in reply["message"]


def test_a_limit_of_a_pair_that_leaves_no_room_is_an_error(client: TestClient) -> None:
    fields: Any = {"query": "a b c d", "truncate_prompt_tokens": 5}
    reply = _post(client, "/v1/rerank", 400, documents=["a"], **fields)
    assert "take 5 tokens, the request's limit is 5" in reply["message"]


def test_passages_keep_to_the_limit_of_a_pair(client: TestClient) -> None:
    fields: Any = {"truncate_prompt_tokens": 20, "return_details": True}
    reply = _post(client, "/v1/rerank", documents=[LONG], long_documents="passages", **fields)
    (result,) = reply["results"]
    assert (result["passages"], result["truncated"]) == (8, False)  # 20 - 2 - 4 words each
    assert result["tokens"] == 100 + 8 * 2


def test_a_query_is_cut_to_its_own_limit(client: TestClient) -> None:
    fields: Any = {"raw_scores": True, "max_tokens_per_query": 2}
    reply = _post(client, "/v1/rerank", documents=["x"], query="a b c d", **fields)
    assert reply["results"][0]["relevance_score"] == margin("a b ", "x")
    assert reply["usage"]["total_tokens"] == 1 + 2 + 1
    (warning,) = reply["meta"]["warnings"]
    assert warning == "at most 2 tokens of a query were read (max_tokens_per_query)"
    pairs = _post(
        client, "/score", queries=["a b c", "d"], items=["x", "y"], max_tokens_per_query=1
    )
    assert pairs["usage"]["prompt_tokens"] == 3 + 3
