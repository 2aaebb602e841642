"""Every flag of every command, in a run of the command with it.

The flags are those of the parser itself; `flag_runs` has the runs. A flag without a run fails here,
and so does a run without the exit code and the output that its flags ask for.
"""

import json
import random
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest
from click.testing import CliRunner

from gateway.cli import COMMANDS, cli
from gateway.domain.request import sigmoid
from shards.engines.fake import margin
from tests import checkpoints, graphs
from tests.gateway.cli.conftest import CLEAN, Serving, gateway
from tests.gateway.cli.flag_runs import ADMIN_KEY, SCENARIOS, SERVE, SERVES, VALUES, Run
from tests.gateway.cli.models.test_download import Hub

pytestmark = [
    pytest.mark.timeout(900),  # a scenario has up to twenty runs, and shards of its own
    pytest.mark.filterwarnings(  # of the exporter that writes the graph
        "ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning", "ignore::UserWarning"
    ),
]

_HIDDEN = {"GATEWAY_CONFIG": None, "GATEWAY_KEYS_FILE": None, "GATEWAY_URL": None}
_CONFIG = """
keys_file = "spare.toml"
[models.plain]
source = "fake"
engine = "fake"
"""
_OWN = """
[[models.own.canaries]]
query = "capital of France"
right = "Paris is the capital of France."
wrong = "Bananas are yellow."
[models.own]
source = "embedded:bert"
"""


def _every_line() -> list[str]:
    runs = [run.line for runs in SCENARIOS.values() for run in runs]
    return [SERVE, *SERVES, ADMIN_KEY, *runs]


def _commands(name: str) -> Iterator[tuple[str, click.Command]]:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    if not isinstance(found, click.Group):
        yield name, found
        return
    for inner, command in found.commands.items():
        yield f"{name} {inner}", command


_COMMANDS = {path: command for name in COMMANDS for path, command in _commands(name)}


def _given(line: str) -> tuple[str, list[tuple[str, object]]]:
    """Return the command of a line, and its flags as they are spelt, with their values."""
    words = shlex.split(line)
    path = next(path for path in (words[0], " ".join(words[:2])) if path in _COMMANDS)
    command = _COMMANDS[path]
    spelt = {
        name: option
        for option in command.params
        if isinstance(option, click.Option)
        for name in (*option.opts, *option.secondary_opts)
    }
    rest = words[len(path.split()) :]
    return path, [
        (name, None if spelt[name].is_flag else value)
        for name, value in zip(rest, [*rest[1:], ""], strict=True)
        if name in spelt
    ]


def _canonical(path: str, name: str) -> str:
    """Return the first spelling of an option; a flag's opposite is an option of its own."""
    for option in _COMMANDS[path].params:
        for spellings in (option.opts, option.secondary_opts):
            if name in spellings:
                return spellings[0]
    raise KeyError(name)


@pytest.mark.parametrize("path", _COMMANDS)
def test_every_flag_has_a_run(path: str) -> None:
    given = [flags for each, flags in map(_given, _every_line()) if each == path]
    used = {_canonical(path, name) for flags in given for name, _ in flags}
    options = [param for param in _COMMANDS[path].params if isinstance(param, click.Option)]
    spellings = {each[0] for o in options for each in (o.opts, o.secondary_opts) if each}
    assert spellings - used == set()


def test_every_documented_value_has_a_run() -> None:
    used: dict[str, set[object]] = {}
    for path, flags in map(_given, _every_line()):
        for name, value in flags:
            used.setdefault(_canonical(path, name), set()).add(value)
    for command in _COMMANDS.values():
        for option in command.params:
            name = option.opts[0]
            if isinstance(option.type, click.Choice) and isinstance(option, click.Option):
                assert set(option.type.choices) - used[name] == set(), name
    for name, values in VALUES.items():
        assert set(values) - used[name] == set(), name


class Site:
    """Files, a gateway and a hub, by their names in `flag_runs`."""

    def __init__(self, folder: Path, hub: str) -> None:
        self.places = {"folder": str(folder)}
        self.environ = {
            "HF_ENDPOINT": hub,
            "XDG_STATE_HOME": str(folder / "state"),
            "HF_HOME": str(folder / "home"),
            "HF_HUB_CACHE": str(folder / "cache"),
        }
        self._folder = folder
        self._write_texts()
        self.places |= {name: str(folder / name) for name in ("spare", "keys", "cache")}
        self.places["spare"] += ".toml"
        self.places["config"] = self._write("gateway.toml", _CONFIG)
        self.places["own"] = self._write("own.toml", _OWN)
        self.places["bert"] = str(checkpoints.bert(folder / "bert"))
        self.places["onnx"] = str(checkpoints.bert(folder / "onnx"))
        graphs.export(folder / "onnx", graphs.NAMES)

    def words(self, line: str) -> list[str]:
        return [word.format_map(self.places) for word in shlex.split(line)]

    def _write(self, name: str, text: str) -> str:
        path = self._folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return str(path)

    def _write_texts(self) -> None:
        texts = {"d1": "red apples", "d2": "green pears", "d3": "noon train"}
        queries = {"q1": "red apples", "q2": "noon train"}
        chance = random.Random(5)
        margins = {text: margin("q", text) for text in map("text {}".format, range(600))}
        labelled = [
            {"query": "q", "document": text, "label": int(chance.random() < sigmoid(value / 2))}
            for text, value in margins.items()
        ]
        data = {"query": "red apples", "documents": list(texts.values()), "labels": [1, 0, 0]}
        named = {name: _json_lines(each) for name, each in (("q", queries), ("c", texts))}
        self.places |= {
            "environ": self._write("old.env", "GATEWAY_LOG_LEVEL=debug\n"),
            "queries": self._write("queries.jsonl", named["q"]),
            "corpus": self._write("corpus.jsonl", named["c"]),
            "qrels": self._write("qrels/dev.tsv", "q1\td1\t1\nq2\td3\t1\n"),
            "run": self._write("first.run", "q1 Q0 d2 1 2 x\nq1 Q0 d1 2 1 x\nq2 Q0 d3 1 2 x\n"),
            "text": self._write("text.txt", "one two\n"),
            "data": self._write("data.jsonl", json.dumps(data) + "\n"),
            "labelled": self._write("labelled.jsonl", "\n".join(map(json.dumps, labelled))),
        }


def _json_lines(texts: Mapping[str, str]) -> str:
    return "".join(json.dumps({"_id": id, "text": text}) + "\n" for id, text in texts.items())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        site = Site(folder, f"http://127.0.0.1:{hub.server_port}")
        made = gateway(*site.words(ADMIN_KEY))
        site.places["key"] = made.stdout.strip()
        with Serving(*site.words(SERVE)[1:], log=folder / "log") as serving:
            site.places["url"] = serving.url
            site.places["port"] = str(urlsplit(serving.url).port)
            yield site
        hub.shutdown()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_run_does_what_its_flags_ask(scenario: str, site: Site) -> None:
    for run in SCENARIOS[scenario]:
        code, output = _outcome(run, site)
        assert run.code in (code, None), f"{run.line}: {code}\n{output}"
        assert re.search(run.shows, output, re.MULTILINE), f"{run.line}\n{output}"
        assert "Traceback" not in output, f"{run.line}\n{output}"


def _outcome(run: Run, site: Site) -> tuple[int, str]:
    words = site.words(run.line)
    if run.is_interrupted:
        return _interrupted(words, run.shows)
    if run.is_process:
        done = gateway(*words, **site.environ)
        return done.returncode, done.stdout + done.stderr
    result = CliRunner(env=_HIDDEN).invoke(cli, words)
    assert result.exception is None or isinstance(result.exception, SystemExit), (
        f"{run.line}: {result.exception!r}"
    )
    return result.exit_code, result.output


def _interrupted(words: list[str], shows: str) -> tuple[int, str]:
    """Run a command until it has shown something, then send Ctrl-C."""
    command = [sys.executable, "-u", "-m", "gateway", *words]
    with subprocess.Popen(command, env=CLEAN, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        seen = ""
        while not re.search(shows, seen) and (line := process.stdout.readline()):
            seen += line
        process.send_signal(signal.SIGINT)
        seen += process.stdout.read()
    return process.returncode, seen


@pytest.mark.parametrize("line", SERVES)
def test_a_gateway_with_other_values_becomes_ready(line: str, site: Site, tmp_path: Path) -> None:
    with Serving(*site.words(line)[1:], log=tmp_path / "log") as serving:
        serving.wait_for(r"ready at http://")
        assert serving.stop() == 0
