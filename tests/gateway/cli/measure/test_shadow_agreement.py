"""`gateway compare` without data, and its errors."""

import socket

import pytest
from click.testing import CliRunner, Result

from gateway.cli import cli
from tests.gateway.cli.operate.test_status import other

__all__ = ["other"]


def compare(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["compare", *arguments])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["a", "b"], "give --data FILE"), (["a", "--data", "questions.jsonl"], "name both models")],
)
def test_two_models_need_data_and_data_two_models(arguments: list[str], words: str) -> None:
    result = compare(*arguments)
    assert (result.exit_code, words in result.stderr) == (2, True)


def test_nothing_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    result = compare("--url", f"http://127.0.0.1:{port}")
    assert (result.exit_code, "nothing answers" in result.stderr) == (2, True)


def test_something_else_is_no_gateway(other: str) -> None:
    result = compare("--url", other)
    assert result.exit_code in (1, 2)
    assert "no rerank gateway" in result.stderr
