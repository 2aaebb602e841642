"""Every table and every help text on a pseudo-terminal: whole words within its columns.

All runs of one width are one process, with a mark between two runs. The words are compared with
those of a pipe, where every row is one line.
"""

import contextlib
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

import click
import pytest
from rich.cells import cell_len

from gateway.cli import COMMANDS, cli
from gateway.domain.request import sigmoid
from shards.engines.fake import margin
from tests.gateway.cli.conftest import CLEAN, Serving, gateway

pytestmark = pytest.mark.timeout(300)  # some thirty runs of commands in each process

READY = "qwen3-reranker-8b-legal-contracts-of-europe-nightly"
BROKEN = "bge-reranker-v2-m3-customer-support-tickets-of-asia"
LOADING = "jina-reranker-with-a-long-name-that-loads-for-hours"
CONFIG = f"""
default_model = "{READY}"
keys_file = "keys.toml"
[models.{READY}]
source = "fake"
engine = "fake"
aliases = ["rerank-v3.5"]
shadow = {{ model = "{BROKEN}", percent = 5 }}
[models.{BROKEN}]
source = "fake?refuse=66"
engine = "fake"
[models.{LOADING}]
source = "fake?load_ms=10000000"
engine = "fake"
[splits.search-of-everything]
models = {{ {READY} = 75, {BROKEN} = 25 }}
[cascades.quick-look-then-thorough]
first = "{READY}"
then = "{LOADING}"
"""

DRIVER = """
import json, sys
from gateway.cli import cli
lines, width = json.loads(sys.argv[1])
for line in lines:
    try:
        cli.main(line, prog_name="gateway", terminal_width=width)
    except SystemExit:
        pass
    print("\\x1e", flush=True)
"""
"""Runs command lines, one after the other, with a mark after each; helps in a width or None."""

COLOURS: dict[int, dict[str, str]] = {80: {"NO_COLOR": "1"}, 120: {}}
WIDTHS = pytest.mark.parametrize("columns", COLOURS)
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
WORD = re.compile(r"[A-Za-z][\w./:@=-]*")
NOTE = "columns left out a wider terminal, a pipe or --json shows them column source memory"
"""Words below narrow tables, and the source of scores that an earlier run left in the cache."""
UNITS = "ms s min h"
"""Units of times, which may grow between two runs."""


def on_terminal(lines: list[list[str]], columns: int, **more: str) -> list[str]:
    """Return what each command line prints on a terminal with so many columns."""
    ours, its = os.openpty()
    environ = {**CLEAN, **COLOURS[columns], **more, "COLUMNS": str(columns), "TERM": "xterm"}
    command = [sys.executable, "-c", DRIVER, json.dumps([lines, None])]
    nothing = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=nothing, env=environ) as process:
        os.close(its)
        seen = b""
        with contextlib.suppress(OSError):  # the other end of the terminal is closed
            while read := os.read(ours, 65536):
                seen += read
        os.close(ours)
        assert process.wait(200) == 0
    return _outputs(seen.decode())


def in_pipe(lines: list[list[str]], width: int | None = None, **environ: str) -> list[str]:
    """Return what each command line prints into a pipe, helps in this width."""
    command = [sys.executable, "-c", DRIVER, json.dumps([lines, width])]
    environ = {**CLEAN, **environ, "COLUMNS": "20"}
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environ, timeout=200)
    return _outputs(done.stdout.decode())


def _outputs(seen: str) -> list[str]:
    plain = ESCAPE.sub("", seen).replace("\r\n", "\n")
    return [output.strip("\n") for output in plain.split("\x1e")[:-1]]


def _words(text: str) -> set[str]:
    return {word.rstrip(".,:") for word in WORD.findall(text)}


def _check(output: str, whole: str, columns: int) -> None:
    """Check the width of every line, and that every word is one of the whole text."""
    assert output
    for line in output.splitlines():
        assert cell_len(line.rpartition("\r")[2]) <= columns, line
    known = _words(whole) | _words(whole.replace("/cpu:0", " cpu:0")) | _words(f"{NOTE} {UNITS}")
    assert _words(output) - known == set(), output
    assert not re.search(r"[a-z](\.\.\.|…)", output), output


# -- helps -----------------------------------------------------------------------------------------


def _paths(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _paths(inner, (*path, name))


@WIDTHS
def test_every_help_has_whole_words(columns: int) -> None:
    lines = [[*path, "--help"] for path in _paths(cli)]
    assert len(lines) > len(COMMANDS) + 4
    helps = zip(on_terminal(lines, columns), in_pipe(lines, width=2000), strict=True)
    for output, whole in helps:
        _check(output, whole, columns)


# -- tables ----------------------------------------------------------------------------------------


class Site(NamedTuple):
    """The URL of a gateway, and a key for it."""

    url: str
    key: str


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A gateway with a ready model, a broken one and one that goes on loading."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "gateway.toml").write_text(CONFIG)
    keys = ("--keys-file", str(folder / "keys.toml"))
    made = gateway("key", "new", "the search team of the library", "--admin", *keys)
    key = made.stdout.strip()
    with Serving(
        "--config", str(folder / "gateway.toml"), "--port", "0", log=folder / "log"
    ) as serving:
        serving.wait_for(f'"model does not start","model":"{BROKEN}"')
        serving.wait_for(f'"shard is loading".*"model":"{LOADING}"')
        yield Site(serving.wait_for(r"listening on (http://[^,\s]+)")[1], key)


@pytest.fixture(scope="module")
def lines(site: Site, tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """Runs that print every table."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "gateway.toml").write_text(CONFIG.replace('keys_file = "keys.toml"', ""))
    keys = ("--keys-file", str(folder / "keys.toml"))
    gateway("key", "new", "the legal department", "--models", f"{READY},{BROKEN}", *keys)
    texts = ["Paris is the capital of France. " * 9, "Bananas are yellow."]
    data = {"query": "capital of France", "documents": texts, "labels": [1, 0]}
    (folder / "data.jsonl").write_text(json.dumps(data) + "\n")
    chance = random.Random(5)
    margins = {text: margin("q", text) for text in map("text {}".format, range(600))}
    pairs = [
        {"query": "q", "document": text, "label": int(chance.random() < sigmoid(value / 2))}
        for text, value in margins.items()
    ]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    url = site.url
    asked = ("--url", url, "--model", READY)
    judged = ("--data", str(folder / "data.jsonl"))
    question = ("-q", "capital of France", "-d", texts[0], "-d", texts[1], "--format", "table")
    return [
        ["status", "--url", url],
        ["key", "list", *keys],
        ["check", str(folder / "gateway.toml")],
        ["cache", "scores", "--url", url],
        ["rerank", *asked, *question],
        ["rerank", *asked, *question, "--details", "--long-documents", "passages"],
        ["bench", url, "--model", READY, "--requests", "2", "--clients", "1"],
        ["eval", READY, "--candidates", str(folder / "data.jsonl"), "--url", url],
        ["compare", READY, READY, *judged, "--url", url],
        ["compare", "--url", url],
        ["calibrate", str(folder / "pairs.jsonl"), *asked, "--dry-run"],
        ["models"],
        ["files"],
        ["verify", f"{READY}=fake", "--engine", "fake", "--pairs", "0"],
        ["doctor", "--config", str(folder / "gateway.toml")],
    ]


@pytest.fixture(scope="module")
def whole(lines: list[list[str]], site: Site) -> list[str]:
    return in_pipe(lines, RERANK_API_KEY=site.key)


@WIDTHS
def test_every_table_has_whole_words(
    lines: list[list[str]], whole: list[str], site: Site, columns: int
) -> None:
    outputs = on_terminal(lines, columns, RERANK_API_KEY=site.key)
    for line, output, text in zip(lines, outputs, whole, strict=True):
        assert text, line
        _check(output, text, columns)
    for name in (READY, BROKEN, LOADING):
        assert name in outputs[0]
    assert "loading (" in outputs[0]


def test_a_pipe_gets_every_row_as_one_line(whole: list[str]) -> None:
    status, keys, *_ = whole
    for name, state in ((READY, "ready"), (BROKEN, "failed"), (LOADING, "loading")):
        (row,) = re.findall(rf"^  {name}/cpu:0 +{state}.*MiB$", status, re.MULTILINE)
        assert "cpu" in row
    assert "left out" not in "".join(whole)
    assert re.search(f"the legal department .*{READY}, {BROKEN}", keys)


@WIDTHS
def test_json_is_the_same_on_a_terminal(site: Site, columns: int) -> None:
    line = ["status", "--url", site.url, "--api-key", site.key, "--json"]
    (output,) = on_terminal([line], columns)
    assert output.count("\n") == 0
    models = json.loads(output)["models"]
    assert [model["name"] for model in models] == [READY, BROKEN, LOADING]
