"""`gateway rerank`, by URL and with shards of its own. The fake engine's scores can be foretold."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli import cli
from gateway.cli.rerank import PART
from gateway.domain import sigmoid
from shards.engines.fake import margin
from tests.gateway.cli.conftest import gateway

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


def test_shards_of_our_own_say_the_same(file: str) -> None:
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
    documents = [f"document {number}" for number in range(2 * PART + 7)]
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
        {"query": one["query"], "results": expected(str(one["query"]), ["a", "b", "c"])}
        for one in questions
    ]


def test_a_refused_request_does_not_stop_the_batch(served: str, tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text('{"query": "", "documents": ["a"]}\n{"query": "q", "documents": ["a"]}\n')
    result = run(str(path), "--url", served)
    assert result.exit_code == 1
    first, second = lines(result.stdout)
    assert "query" in first["error"]
    assert second["results"] == expected("q", ["a"])


def test_a_table_for_people(served: str, file: str) -> None:
    result = run("-q", "столица", file, "--url", served, "--format", "table")
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    best = expected("столица", DOCUMENTS)[0]
    assert [f"{best['relevance_score']:.6f}", str(best["index"]), best["document"]] in rows


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
        (("-q", "q", "gone.txt"), 1, "gone.txt cannot be read"),
        (("-q", "q", "-d", "a", "--dtype", "fp8"), 78, "fp8"),
    ],
)
def test_wrong_use_is_told(arguments: tuple[str, ...], code: int, word: str) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert word in result.stderr
