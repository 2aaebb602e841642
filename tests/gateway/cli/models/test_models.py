"""`gateway models` prints the whole table, one model, and JSON."""

import json

import pytest
from click.testing import CliRunner, Result

from gateway import __version__
from gateway.cli import cli
from gateway.cli.models.known_models import REFUSED, SERVED, KnownModel, expanded


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["models", *arguments])


def test_every_model_is_printed_whole_at_80_columns() -> None:
    printed = _run()
    assert printed.exit_code == 0
    assert max(map(len, printed.output.splitlines())) <= 80
    text = " ".join(printed.output.split())
    for model in SERVED:
        assert model.name in text and f"scores: {model.scoring}" in text
        assert f"{model.parameters} parameters, {model.context} tokens, {model.license}" in text
        assert f"languages: {model.languages}" in text
    for refused in REFUSED:
        assert f"{refused.name} REFUSED: {refused.reason}" in text


@pytest.mark.parametrize("model", [*SERVED, *REFUSED], ids=lambda model: str(model.name))
def test_each_id_names_its_model(model: KnownModel) -> None:
    for id in model.ids:
        found = json.loads(_run(id.upper(), "--json").output)
        names = [each["name"] for each in (*found["served"], *found["refused"])]
        assert model.name in names


def test_a_pattern_stands_for_all_its_sizes() -> None:
    (found,) = json.loads(_run("cross-encoder/ettin-reranker-150m-v1", "--json").output)["served"]
    assert found["name"] == "cross-encoder/ettin-reranker-*"


def test_one_model_is_printed_alone() -> None:
    output = _run("DiTy/cross-encoder-russian-msmarco").output
    assert output.splitlines() == [
        "DiTy/cross-encoder-russian-msmarco",
        "  178 M parameters, 512 tokens, MIT, since 0.1.0",
        "  languages: Russian",
        "  scores: pair of texts, one label",
    ]


def test_an_unknown_name_is_refused_with_those_like_it() -> None:
    refused = _run("bge-reranker-v2-m4")
    assert refused.exit_code == 1
    assert "did you mean BAAI/bge-reranker-v2-m3" in refused.output
    assert "did you mean" not in _run("xyzzy").output


def test_json_has_every_field() -> None:
    found = json.loads(_run("--json").output)
    assert [each["name"] for each in found["served"]] == [model.name for model in SERVED]
    assert [each["reason"] for each in found["refused"]] == [model.reason for model in REFUSED]
    keys = {"name", "ids", "parameters", "languages", "license", "context", "scoring", "since"}
    assert all(each.keys() == keys and all(each.values()) for each in found["served"])


def test_sizes_in_braces_are_names_of_their_own() -> None:
    assert expanded("a/b-{1,2}-c") == ("a/b-1-c", "a/b-2-c")
    assert expanded("a/b") == ("a/b",)


@pytest.mark.parametrize("model", SERVED, ids=lambda model: str(model.name))
def test_a_model_is_scored_since_a_version_that_there_was_or_the_next(model: KnownModel) -> None:
    major, minor = (int(number) for number in __version__.split(".")[:2])
    assert tuple(map(int, model.since.split("."))) <= (major, minor + 1, 0)
