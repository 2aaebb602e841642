"""The documents are true: examples run, replies are equal, links, anchors and messages exist."""

import ast
import itertools
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from gateway import __version__
from gateway.cli import COMMANDS, cli
from gateway.cli.operate.status_table import fitted
from tests.gateway.cli.conftest import CLEAN, Serving

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
README = (ROOT / "README.md").read_text(encoding="utf-8")
HERE = "http://127.0.0.1:8080"
TOLERANCE = 0.02  # `dtype = "auto"` may choose fp32 or bf16
CHANGING = {"id", "created"}


def blocks(text: str) -> list[tuple[str, str]]:
    """Return the fenced blocks of a page: language and content."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def examples(language: str, reply: str) -> list[tuple[str, str]]:
    """Return blocks of README in one language that are followed by a block in another."""
    return [
        (content, answer)
        for (shown, content), (answered, answer) in itertools.pairwise(blocks(README))
        if (shown, answered) == (language, reply)
    ]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway as `./scripts/serve` starts it, on a free port."""
    with Serving(
        "--port", "0", "--device", "cpu:0", log=tmp_path_factory.mktemp("docs") / "log"
    ) as serving:
        yield serving.url


def run(*command: str) -> str:
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env=CLEAN, timeout=120
    ).stdout


def check_same(reply: Any, printed: Any) -> None:
    """Compare two replies: the same keys, order and strings; numbers to a tolerance."""
    assert type(reply) is type(printed)
    if isinstance(printed, dict):
        assert list(reply) == list(printed)
        for key in printed.keys() - CHANGING:
            check_same(reply[key], printed[key])
    elif isinstance(printed, list):
        assert len(reply) == len(printed)
        for found, shown in zip(reply, printed, strict=True):
            check_same(found, shown)
    elif isinstance(printed, float):
        assert reply == pytest.approx(printed, abs=TOLERANCE)
    else:
        assert reply == printed


@pytest.mark.parametrize(("command", "printed"), examples("bash", "json"))
def test_the_curl_examples_answer_as_printed(url: str, command: str, printed: str) -> None:
    assert HERE in command
    reply = json.loads(run("bash", "-c", command.replace(HERE, url)))
    check_same(reply, json.loads(printed))
    assert reply["results"][0]["index"] == 1


def test_there_are_an_english_and_a_russian_example() -> None:
    ((command, _),) = examples("bash", "json")
    ((code, _),) = examples("python", "text")
    assert "How do I reset my password?" in command
    assert "Какая столица Франции?" in code


def test_the_cohere_example_prints_what_is_printed(url: str) -> None:
    ((code, printed),) = examples("python", "text")
    assert HERE in code
    output = run(sys.executable, "-W", "ignore", "-c", code.replace(HERE, url))
    ours = [(int(index), float(score)) for index, score in map(str.split, output.splitlines())]
    readmes = [(int(index), float(score)) for index, score in map(str.split, printed.splitlines())]
    assert [index for index, _ in ours] == [index for index, _ in readmes]
    assert [score for _, score in ours] == pytest.approx(
        [score for _, score in readmes], abs=TOLERANCE + 0.01
    )


def test_the_status_table_has_the_lines_that_are_printed(url: str) -> None:
    (printed,) = (content for _, content in blocks(README) if content.startswith("rerank gateway"))
    status = json.loads(run(sys.executable, "-m", "gateway", "status", "--url", url, "--json"))
    output = "\n".join(line.plain for line in fitted(status, 80))
    title, heads, *_ = printed.splitlines()
    assert title.startswith(f"rerank gateway {__version__}, up ")
    assert heads.split() == output.splitlines()[1].split()
    assert output.count("3 columns left out") == 1
    assert shown_names(output.partition("3 columns left out")[0]) == shown_names(printed)


def shown_names(table: str) -> list[str]:
    """Return the first cell of each line: models and shards.

    A rule is as wide as the figures, and the notes of shards below the table are measured.
    """
    lines = (line.strip() for line in table.splitlines() if line.strip(" ─"))
    cells = [re.split(r"\s{2,}", line)[0] for line in lines][1:]
    return [cell for cell in cells if "/cpu:0: " not in cell]


def test_the_configuration_in_readme_is_the_example_file() -> None:
    (printed,) = (content for language, content in blocks(README) if language == "toml")
    assert printed == (ROOT / "configs/many-models.toml").read_text(encoding="utf-8")
    assert len([line for line in printed.splitlines() if line.strip()]) <= 10


def commands() -> list[str]:
    """Return every `gateway ...` line in a block of any page."""
    found = {
        line.split(" > ")[0].partition("#")[0].strip()
        for page in PAGES
        for language, content in blocks(page.read_text(encoding="utf-8"))
        if language == "bash"
        for line in content.splitlines()
    }
    lines = {
        re.sub(r"^(\./)?scripts/serve", "gateway serve", line)
        for line in found
        if "--help" not in line
    }
    return sorted(line for line in lines if line.startswith("gateway "))


@pytest.mark.parametrize("line", commands())
def test_every_command_in_the_docs_is_valid(line: str) -> None:
    name, *arguments = shlex.split(line)[1:]
    command = cli.get_command(click.Context(cli), name)
    assert command is not None, line
    command.make_context(name, arguments)


def test_there_are_commands_in_the_docs() -> None:
    assert {shlex.split(line)[1] for line in commands()} == set(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_has_a_target(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(file), f"{page.name} links to {target}"


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    text = page.read_text(encoding="utf-8")
    for _, content in blocks(text):
        text = text.replace(content, "")
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title) for title in titles)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in plain}


def test_readme_shows_every_page() -> None:
    shown = [page.relative_to(ROOT).as_posix() for page in PAGES if page.parent.name == "docs"]
    assert [name for name in shown if name not in README] == []
    assert "(CONTRIBUTING.md)" in README


def test_readme_fits_three_screens() -> None:
    assert len(README.splitlines()) <= 170


@pytest.mark.parametrize(
    "word",
    ["rate limit", "health check", "upgrade", "uninstall", "troubleshoot", "fallback"],
)
def test_words_that_people_search_for_are_in_a_heading_or_in_bold(word: str) -> None:
    marked = rf"^#+ .*{word}|\*\*[^*]*{word}"
    found = [
        page.name
        for page in PAGES
        if re.search(marked, page.read_text(encoding="utf-8"), re.IGNORECASE | re.MULTILINE)
    ]
    assert found


def test_the_newest_release_note_is_about_this_version() -> None:
    notes = (ROOT / "docs/release-notes.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\S+)", notes, re.MULTILINE)[0] == __version__


def rooms() -> list[str]:
    """Return the rooms of both packages, from the contracts that enforce them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    return [
        f"{contract['containers'][0]}/{room}"
        for contract in contracts
        if contract["type"] == "layers" and contract["containers"][0] in ("gateway", "shards")
        for layer in contract["layers"]
        for room in layer.split(" | ")
        if not room.startswith("__")
    ]


@pytest.mark.parametrize("room", rooms())
def test_every_room_has_its_line_in_the_architecture(room: str) -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    assert f"`{room}/`" in page or f"`{room}.py`" in page


def test_paths_in_the_documents_exist() -> None:
    pattern = r"`((?:gateway|shards|scripts|tests|configs|docs)/[\w./-]+\.\w+)`"
    missing = [
        f"{page.name}: {path}"
        for page in PAGES
        if page.name != "CONTRIBUTING.md"  # its examples are to be made
        for path in re.findall(pattern, page.read_text(encoding="utf-8"))
        if not (ROOT / path).exists() and not (ROOT / "tests" / path).exists()
    ]
    assert missing == []


def strings() -> str:
    """Return every string constant of the product, and the messages of scripts/setup."""
    texts = [
        node.value
        for package in ("gateway", "shards")
        for file in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return "\n".join([*texts, (ROOT / "scripts/setup").read_text(encoding="utf-8")])


def quoted_messages() -> list[str]:
    """Return the messages that open an item of the troubleshooting page."""
    page = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    heads = re.findall(r"^- ((?:`[^`]+`(?:, | or )?)+)", page, re.MULTILINE)
    messages = [message for head in heads for message in re.findall(r"`([^`]+)`", head)]
    return [" ".join(message.split()) for message in messages if " " in message]


def test_the_messages_of_the_troubleshooting_page_are_printed() -> None:
    """The parts between `...`, exit codes and signals must each be in a string of the product."""
    known = strings()
    pieces = {
        piece.strip(" :")
        for message in quoted_messages()
        for piece in re.split(r"\.\.\.|\d+ \(\w+\)|SIG[A-Z]+", message)
    }
    assert len(pieces) > 40
    assert sorted(piece for piece in pieces if piece not in known) == []
