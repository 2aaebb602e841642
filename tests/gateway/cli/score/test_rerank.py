"""`gateway rerank`, by URL and with local shards; the fake engine's scores can be computed here."""

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli import cli
from gateway.cli.score.batch import PART_DOCUMENTS
from gateway.cli.score.client_apis import CLIENT_APIS
from gateway.dialects import DIALECTS
from gateway.domain.request import sigmoid
from shards.engines.fake import margin
from tests.gateway.cli.conftest import gateway
from tests.gateway.cli.flag_runs import NEED_A_PREFIX

ROOT = Path(__file__).parents[4]
LOCAL = ("--model", "demo=fake", "--engine", "fake", "--device", "cpu:0")


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["rerank", *arguments], input=stdin)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def expected(query: str, documents: list[str]) -> list[dict[str, Any]]:
    margins = [margin(query, document) for document in documents]
    order = sorted(range(len(documents)), key=lambda index: (-margins[index], index))
    return [
        {
            "index": index,
            "relevance_score": sigmoid(margins[index]),
            "document": documents[index],
        }
        for index in order
    ]


DOCUMENTS = ["Берлин", "Париж", "Борщ"]


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "documents.txt"
    path.write_text("\n".join(DOCUMENTS), encoding="utf-8")
    return str(path)


def test_a_gateway_orders_the_lines_of_a_file(served: str, file: str) -> None:
    result = run("-q", "столица", file, "--url", served)
    assert result.exit_code == 0
    assert lines(result.stdout) == expected("столица", DOCUMENTS)


def test_local_shards_give_the_same_scores(file: str) -> None:
    done = gateway("rerank", "-q", "столица", file, *LOCAL)
    assert (done.returncode, done.stderr) == (0, "")
    assert lines(done.stdout) == expected("столица", DOCUMENTS)


def test_models_of_the_environment_are_not_started(file: str) -> None:
    others = {"GATEWAY_MODELS__OTHER__SOURCE": "fake?refuse=66", "GATEWAY_DEFAULT_MODEL": "other"}
    done = gateway("rerank", "-q", "столица", file, *LOCAL, **others)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_embedded_model_is_the_default() -> None:
    done = gateway(
        "rerank",
        "-q",
        "How do I reset my password?",
        "-d",
        "The cafeteria opens at eight in the morning.",
        "-d",
        "To reset your password, open Settings and choose Forgot password.",
        "--top-n",
        "1",
    )
    assert done.returncode == 0, done.stderr
    assert [line["index"] for line in lines(done.stdout)] == [1]


def test_documents_from_standard_input() -> None:
    done = gateway("rerank", "-q", "q", "-", *LOCAL, stdin="one\ntwo\n")
    assert lines(done.stdout) == expected("q", ["one", "two"])


def test_many_documents_are_merged_in_one_order(served: str, tmp_path: Path) -> None:
    documents = [f"document {number}" for number in range(2 * PART_DOCUMENTS + 7)]
    (tmp_path / "many.txt").write_text("\n".join(documents))
    result = run("-q", "q", str(tmp_path / "many.txt"), "--url", served, "--top-n", "9")
    assert lines(result.stdout) == expected("q", documents)[:9]


def test_a_batch_has_a_line_per_request_in_order(served: str, tmp_path: Path) -> None:
    questions = [{"query": f"q{number}", "documents": ["a", "b", "c"]} for number in range(20)]
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(json.dumps(question) for question in questions))
    result = run(str(path), "--url", served)
    assert result.exit_code == 0
    assert lines(result.stdout) == [
        {"query": each["query"], "results": expected(str(each["query"]), ["a", "b", "c"])}
        for each in questions
    ]


def test_a_refused_request_does_not_stop_the_batch(served: str, tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text('{"query": "", "documents": ["a"]}\n{"query": "q", "documents": ["a"]}\n')
    result = run(str(path), "--url", served)
    assert result.exit_code == 1
    first, second = lines(result.stdout)
    assert "query" in first["error"]
    assert second["results"] == expected("q", ["a"])


def test_a_table(served: str, file: str) -> None:
    result = run("-q", "столица", file, "--url", served, "--format", "table")
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    best = expected("столица", DOCUMENTS)[0]
    assert [f"{best['relevance_score']:.6f}", str(best["index"]), best["document"]] in rows


def test_every_api_of_the_gateway_can_be_asked() -> None:
    """A new dialect needs a line in `CLIENT_APIS`, and a word in the documentation."""
    names = {"cohere_v2": "cohere"}
    assert {names.get(dialect.name, dialect.name) for dialect in DIALECTS} == set(CLIENT_APIS)
    page = (ROOT / "docs/clients.md").read_text()
    (described,) = re.findall(r"^`--dialect` is .*?\.$", page, re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"`(\w+)`", described)) == set(CLIENT_APIS)


@pytest.mark.parametrize("dialect", CLIENT_APIS)
def test_every_dialect_gives_the_same_answer(served: str, file: str, dialect: str) -> None:
    url = served + NEED_A_PREFIX.get(dialect, "")
    result = run("-q", "столица", file, "--url", url, "--dialect", dialect, "--model", "demo")
    assert (result.exit_code, result.stderr) == (0, "")
    assert lines(result.stdout) == expected("столица", DOCUMENTS)
    api = CLIENT_APIS[dialect]
    assert (api.url(api.url(url)), api.base(api.url(url))) == (api.url(url), url)


def test_pinecone_has_a_header_of_its_own_for_the_key() -> None:
    assert CLIENT_APIS["jina"].request_headers("k") == {"authorization": "Bearer k"}
    headers = CLIENT_APIS["pinecone"].request_headers("k")
    assert headers["api-key"] == "k" and "authorization" not in headers
    assert CLIENT_APIS["pinecone"].request_headers(None).keys() == headers.keys() - {"api-key"}


def test_the_url_of_an_endpoint_is_used_as_it_is(served: str, file: str) -> None:
    for url, dialect in ((f"{served}/v2/rerank", "jina"), (f"{served}/tei/rerank", "tei")):
        result = run("-q", "столица", file, "--url", url, "--dialect", dialect)
        assert lines(result.stdout) == expected("столица", DOCUMENTS)


def test_an_answer_in_another_dialect_is_an_error(served: str, file: str) -> None:
    result = run("-q", "q", file, "--url", f"{served}/score", "--dialect", "tei")
    assert result.exit_code == 1
    result = run("-q", "q", file, "--url", f"{served}/tei/rerank", "--dialect", "mixedbread")
    assert result.exit_code == 1
    assert "/tei/rerank answered" in result.stderr


def test_texts_from_files(served: str, tmp_path: Path) -> None:
    (tmp_path / "query.txt").write_text("столица\n", encoding="utf-8")
    (tmp_path / "document.txt").write_text("one\ntwo\n", encoding="utf-8")
    result = run(
        "-q",
        f"@{tmp_path / 'query.txt'}",
        "-d",
        (tmp_path / "document.txt").as_uri(),
        "-d",
        "three",
        "--url",
        served,
    )
    assert lines(result.stdout) == expected("столица", ["one\ntwo", "three"])


CANDIDATES = "q7 Q0 d2 1 9 bm25\nq7 Q0 d1 2 8 bm25\nq8 Q0 d1 1 3 bm25\n"


@pytest.fixture
def candidates(tmp_path: Path) -> list[str]:
    (tmp_path / "run").write_text(CANDIDATES)
    (tmp_path / "queries.tsv").write_text("q7\tseven\nq8\teight\n")
    (tmp_path / "corpus.jsonl").write_text(
        '{"_id": "d1", "text": "one"}\n{"_id": "d2", "text": "two"}\n'
    )
    queries, corpus = tmp_path / "queries.tsv", tmp_path / "corpus.jsonl"
    return [str(tmp_path / "run"), "--queries", str(queries), "--corpus", str(corpus)]


def test_a_trec_run_is_reordered(served: str, candidates: list[str]) -> None:
    result = run(*candidates, "--url", served, "--format", "trec")
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    names = {"two": "d2", "one": "d1"}
    wanted = [
        [query, "Q0", names[result["document"]], str(rank), f"{result['relevance_score']:.6f}"]
        for query, text, documents in (("q7", "seven", ["two", "one"]), ("q8", "eight", ["one"]))
        for rank, result in enumerate(expected(text, documents), 1)
    ]
    assert [[*row[:4], f"{float(row[4]):.6f}"] for row in rows] == wanted
    assert all(row[5].startswith("rerank-gateway:score=0.") for row in rows)
    rows = [
        line.split()
        for line in run(
            *candidates, "--url", served, "--format", "trec", "--details"
        ).stdout.splitlines()
    ]
    assert [row[5] for row in rows[2:]] == [f"rerank-gateway:margin={margin('eight', 'one')!r}"]


def test_json_is_one_document_with_ids(served: str, candidates: list[str]) -> None:
    found = json.loads(run(*candidates, "--url", served, "--format", "json").stdout)
    assert [answer["id"] for answer in found] == ["q7", "q8"]
    assert found[1]["results"][0] == {
        "index": 0,
        "id": "d1",
        "relevance_score": sigmoid(margin("eight", "one")),
        "document": "one",
    }
    found = json.loads(run("-q", "q", "-d", "a", "--url", served, "--format", "json").stdout)
    assert found == {"query": "q", "results": expected("q", ["a"])}


def test_ids_that_trec_does_not_allow_are_refused(served: str, tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text('{"_id": "a b", "text": "one"}\n')
    result = run("-q", "q", str(path), "--url", served, "--format", "trec")
    assert result.exit_code == 1
    assert "'a b' has spaces" in result.stderr


def test_an_unknown_model_is_refused_with_the_names(served: str) -> None:
    result = run("-q", "q", "-d", "a", "--url", served, "--model", "nope")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "404" in result.stderr
    assert "demo" in result.stderr


def test_a_model_that_cannot_be_loaded_is_refused(tmp_path: Path) -> None:
    done = gateway("rerank", "-q", "q", "-d", "a", "--model", str(tmp_path))
    assert done.returncode == 1
    assert str(tmp_path) in done.stderr


def test_a_gateway_that_cannot_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    result = run("-q", "q", "-d", "a", "--url", f"http://127.0.0.1:{port}")
    assert result.exit_code == 2
    assert f"127.0.0.1:{port}" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("-q", "q"), 2, "nothing to rerank"),
        (("-d", "a"), 2, "-d needs a query"),
        (("run", "--queries", "a"), 2, "--queries and --corpus"),
        (("-q", "q", "-d", "@gone.txt"), 1, "gone.txt cannot be read"),
        (("-q", "q", "gone.txt"), 1, "gone.txt cannot be read"),
        (("-q", "q", "-d", "a", "--dtype", "fp8"), 78, "fp8"),
    ],
)
def test_wrong_options_are_named(arguments: tuple[str, ...], code: int, word: str) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert word in result.stderr


def test_options_of_the_gateway_behind_the_url_are_refused(served: str) -> None:
    result = run("-q", "a", "-d", "b", "--url", served, "--dtype", "bf16")
    assert result.exit_code == 2
    assert "dtype: the gateway behind --url decides that" in result.stderr


LONG = " ".join(f"word{number}" for number in range(9000))


@pytest.mark.parametrize("dialect", CLIENT_APIS)
def test_details_of_a_gateway_in_every_dialect(served: str, tmp_path: Path, dialect: str) -> None:
    path = tmp_path / "long.txt"
    path.write_text(f"short\n{LONG}\n")
    options = ("--details", "--long-documents", "passages", "--dialect", dialect)
    result = run("-q", "q", str(path), "--url", served + NEED_A_PREFIX.get(dialect, ""), *options)
    assert result.exit_code == 0, result.stderr
    short, long = sorted(lines(result.stdout), key=lambda result: result["index"])
    assert short["margin"] == margin("q", "short")
    assert (short["tokens"], short["truncated"], short["passages"]) == (3, False, 1)
    assert long["passages"] == 2
    assert long["margin"] == margin("q", LONG[long["span"]["start"] : long["span"]["end"]])


def test_details_of_local_shards(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text(f"short\n{LONG}\n")
    done = gateway("rerank", "-q", "q", str(path), *LOCAL, "--max-passages", "1", "--details")
    assert done.returncode == 0, done.stderr
    short, long = sorted(lines(done.stdout), key=lambda result: result["index"])
    assert (short["span"], short["truncated"]) == ({"start": 0, "end": 5}, False)
    assert (long["passages"], long["truncated"]) == (1, True)
    assert long["span"]["start"] == 0


def test_a_table_shows_details(served: str, file: str) -> None:
    result = run("-q", "столица", file, "--url", served, "--format", "table", "--details")
    assert "margin" in result.stdout
    assert "0-6" in result.stdout
    assert "truncated" in result.stdout


def test_a_long_document_may_be_refused(served: str, tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text(LONG)
    result = run("-q", "q", str(path), "--url", served, "--long-documents", "error")
    assert result.exit_code == 1
    assert "too long" in result.stderr


def test_truncation_is_a_warning_on_stderr(served: str, tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text(f"short\n{LONG}\n")
    result = run("-q", "q", str(path), "--url", served, "--model", "demo")
    assert "warning: 1 of 2 documents were truncated" in result.stderr
    assert "warning" not in result.stdout
    done = gateway("rerank", "-q", "q", str(path), *LOCAL)
    assert "warning: 1 of 2 documents were truncated" in done.stderr
