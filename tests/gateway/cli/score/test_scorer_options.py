"""Scorers of commands that run once."""

from tests.gateway.cli.conftest import gateway


def test_a_command_says_once_why_its_model_does_not_start() -> None:
    done = gateway(
        "rerank", "-q", "a", "-d", "b", "--model", "x=fake?refuse=66", "--engine", "fake"
    )
    assert done.returncode == 1
    assert done.stderr == "error: refused, as its source asks\n"
