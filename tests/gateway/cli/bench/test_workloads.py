"""Requests of a benchmark: their number, length and variety."""

import json
from itertools import islice
from statistics import median

import pytest

from gateway.cli.bench.command import NAMES
from gateway.cli.bench.workloads import WORKLOADS, Request, requests, requests_of

MANY = 400


def some(workload: str, count: int = MANY, seed: int = 1) -> list[Request]:
    return list(islice(requests(workload, seed), count))


def test_the_command_offers_every_workload() -> None:
    assert tuple(WORKLOADS) == NAMES


@pytest.mark.parametrize(("workload", "documents"), [("short3", 3), ("rag20", 20), ("rag100", 100)])
def test_a_request_has_so_many_documents_and_a_query_of_its_own(
    workload: str, documents: int
) -> None:
    found = some(workload, 20)
    assert {len(request.documents) for request in found} == {documents}
    assert len({request.query for request in found}) == 20
    texts = [text for request in found for text in request.documents]
    assert len(set(texts)) == len(texts)


def test_passages_are_about_as_long_as_in_retrieval() -> None:
    lengths = [len(text.split()) for request in some("rag20", 50) for text in request.documents]
    assert 90 < median(lengths) < 110
    assert max(lengths) > 300


def test_a_repeated_query_has_new_documents() -> None:
    found = some("repeat", 10)
    assert len({request.query for request in found}) == 1
    assert len({request.documents for request in found}) == 10


def test_one_in_twenty_of_mixed_requests_is_large() -> None:
    found = some("mixed")
    large = sum(len(request.documents) == 100 for request in found)
    assert 0.02 * MANY < large < 0.09 * MANY
    assert {len(request.documents) for request in found} == {3, 100}


def test_the_same_seed_gives_the_same_requests() -> None:
    assert some("rag20", 5) == some("rag20", 5)
    assert some("rag20", 5) != some("rag20", 5, seed=2)


def test_a_body_has_the_fields_of_the_api() -> None:
    request = Request("вопрос", ("да", "нет"))
    assert json.loads(request.body("m")) == {
        "query": "вопрос",
        "documents": ["да", "нет"],
        "model": "m",
    }
    assert "model" not in json.loads(request.body(None))


def test_the_requests_of_a_file_repeat() -> None:
    lines = [
        '{"query": "a", "documents": ["b"], "id": 7}',
        "",
        '{"query": "c", "documents": ["d"]}',
    ]
    assert [request.query for request in islice(requests_of(lines, "f"), 5)] == [
        "a",
        "c",
        "a",
        "c",
        "a",
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nonsense", "f, line 2 is not"),
        ("[1]", "f, line 2 is not"),
        ('{"query": "a"}', "f, line 2 is not"),
        ('{"query": 1, "documents": ["a"]}', "f, line 2: query must be a string"),
        ('{"query": "a", "documents": []}', "documents a list of strings"),
        ('{"query": "a", "documents": [1]}', "documents a list of strings"),
    ],
)
def test_a_wrong_line_is_named(line: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        requests_of(['{"query": "a", "documents": ["b"]}', line], "f")


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(ValueError, match="holds no request"):
        requests_of(["", " "], "f")
