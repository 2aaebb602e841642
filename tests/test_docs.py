"""What README and docs say is true: examples are run, replies compared, links and paths followed."""

import itertools
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from gateway import __version__
from gateway.cli import COMMANDS, cli
from gateway.cli.status import COLUMNS
from tests.gateway.cli.conftest import CLEAN, Serving

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text(encoding="utf-8")
HERE = "http://127.0.0.1:8080"
TOLERANCE = 0.02  # `dtype = "auto"` may choose fp32 or bf16
CHANGING = {"id", "created"}


def blocks(text: str) -> list[tuple[str, str]]:
    """Return the fenced blocks of a page: language and content."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def examples(language: str, reply: str) -> list[tuple[str, str]]:
    """Return blocks of README in one language that are followed by a block in another."""
    found = blocks(README)
    pairs = itertools.pairwise(found)
    return [(one[1], two[1]) for one, two in pairs if (one[0], two[0]) == (language, reply)]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway as `./scripts/serve` starts it, on a free port."""
    with Serving(
        "--port", "0", "--device", "cpu:0", log=tmp_path_factory.mktemp("docs") / "log"
    ) as serving:
        yield serving.url


def run(*command: str) -> str:
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env=CLEAN, timeout=60
    ).stdout


def check_same(said: Any, printed: Any) -> None:
    """Compare two replies: the same keys, order and strings; numbers to a tolerance."""
    assert type(said) is type(printed)
    if isinstance(printed, dict):
        assert list(said) == list(printed)
        for key in printed.keys() - CHANGING:
            check_same(said[key], printed[key])
    elif isinstance(printed, list):
        assert len(said) == len(printed)
        for one, two in zip(said, printed, strict=True):
            check_same(one, two)
    elif isinstance(printed, float):
        assert said == pytest.approx(printed, abs=TOLERANCE)
    else:
        assert said == printed


@pytest.mark.parametrize(("command", "reply"), examples("bash", "json"))
def test_the_curl_examples_answer_as_printed(url: str, command: str, reply: str) -> None:
    assert HERE in command
    said = json.loads(run("bash", "-c", command.replace(HERE, url)))
    check_same(said, json.loads(reply))
    assert said["results"][0]["index"] == 1


def test_there_are_an_english_and_a_russian_example() -> None:
    queries = [command for command, _ in examples("bash", "json")]
    assert len(queries) == 2
    assert "How do I reset my password?" in queries[0]
    assert "Какая столица Франции?" in queries[1]


def test_the_cohere_example_prints_what_is_printed(url: str) -> None:
    ((code, printed),) = examples("python", "text")
    assert HERE in code
    said = run(sys.executable, "-W", "ignore", "-c", code.replace(HERE, url))
    ours = [(int(index), float(score)) for index, score in map(str.split, said.splitlines())]
    readmes = [(int(index), float(score)) for index, score in map(str.split, printed.splitlines())]
    assert [index for index, _ in ours] == [index for index, _ in readmes]
    assert [score for _, score in ours] == pytest.approx(
        [score for _, score in readmes], abs=TOLERANCE + 0.01
    )


def test_the_status_table_has_the_lines_that_are_printed(url: str) -> None:
    ((_, printed),) = (one for one in examples("bash", "text") if "gateway status" in one[0])
    said = run(sys.executable, "-m", "gateway", "status", "--url", url)
    assert printed.splitlines()[0].startswith(f"rerank gateway {__version__}, up ")
    assert all(name in printed for name, _ in COLUMNS)
    assert shown_names(said) == shown_names(printed)


def shown_names(table: str) -> list[str]:
    """Return the first cell of each line: models and shards.

    A rule is as wide as the figures, and what shards note below the table was measured.
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
def test_every_command_in_the_docs_is_understood(line: str) -> None:
    name, *arguments = shlex.split(line)[1:]
    command = cli.get_command(click.Context(cli), name)
    assert command is not None, line
    command.make_context(name, arguments)


def test_there_are_commands_in_the_docs() -> None:
    assert {shlex.split(line)[1] for line in commands()} == set(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_readme_shows_every_page() -> None:
    missing = [page.name for page in PAGES[1:] if f"docs/{page.name}" not in README]
    assert missing == []


def tree() -> set[str]:
    """Return the paths of the file tree in README."""
    (content,) = (
        content for language, content in blocks(README) if content.startswith("pyproject")
    )
    paths, folder = set(), ""
    for line in content.splitlines():
        name = line.split()[0]
        folder = name if not line.startswith(" ") and name.endswith("/") else folder
        paths.add(folder + name if line.startswith(" ") else name)
    return {path.rstrip("/") for path in paths}


def test_the_file_tree_in_readme_is_the_one_there_is() -> None:
    there = {"pyproject.toml", "README.md", "LICENSE"}
    for folder in ("gateway", "shards", "configs", "docs", "scripts", "systemd", "tests"):
        there.add(folder)
    for package in ("gateway", "shards"):
        for path in (ROOT / package).iterdir():
            if path.name not in {"__init__.py", "__pycache__"}:
                there.add(f"{package}/{path.name}")
    assert tree() == there


def test_the_newest_release_note_is_about_this_version() -> None:
    notes = (ROOT / "docs/release-notes.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\S+)", notes, re.MULTILINE)[0] == __version__


def test_the_glossary_has_each_word_once() -> None:
    text = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    words = [word for line in text.splitlines() for word in re.findall(r"\*\*(.+?)\*\*", line)]
    assert len(words) > 30
    repeated = {word for word in words if words.count(word) > 1}
    assert repeated == set()
