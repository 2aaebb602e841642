"""The recipes of docs/clients.md: their Python runs, their versions are those under test."""

import re
from pathlib import Path

import pytest

pytest.importorskip("litellm")

from tests.clients.cases import BEST

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/clients.md").read_text(encoding="utf-8")
RECIPES = re.findall(r"^### ([^\n]+)$|^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
HERE = "http://127.0.0.1:8080"


def recipes() -> list[tuple[str, str]]:
    """Return each block of Python with its heading."""
    found, heading = [], ""
    for title, code in RECIPES:
        heading = title or heading
        if code:
            found.append((heading, code))
    return found


@pytest.mark.parametrize(("name", "code"), recipes(), ids=range(len(recipes())))
def test_the_recipe_prints_the_best_document(
    url: str, name: str, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert HERE in code
    exec(compile(code.replace(HERE, url), name, "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    score, _, text = printed[-1].partition(" ")
    assert 0 < float(score) < 2
    assert text == BEST


def test_every_framework_has_a_recipe() -> None:
    assert {name for name, _ in recipes()} == {
        "Our own client",
        "LangChain",
        "Embeddings",
        "LlamaIndex",
        "Haystack",
        "LiteLLM",
    }
    for name in ("Dify", "RAGFlow", "Open WebUI", "Vercel AI SDK"):
        assert f"### {name}\n" in PAGE


def pinned() -> dict[str, set[str]]:
    """Return the versions of each package that `scripts/test-clients` installs."""
    texts = [
        (ROOT / f"scripts/{name}").read_text()
        for name in ("clients-constraints.txt", "test-clients")
    ]
    versions: dict[str, set[str]] = {}
    for name, version in re.findall(r"\b([\w.-]+)==([\w.]+)", "\n".join(texts)):
        versions.setdefault(name.replace("_", "-").lower(), set()).add(version)
    return versions


def test_the_versions_on_the_page_are_those_that_are_installed() -> None:
    table = PAGE.split("## What was run")[1].split("\n\n")[1]
    rows = re.findall(r"^\| ([\w-]+)[^|]* \| (\d[\w., ]*) \|", table, re.MULTILINE)
    assert len(rows) == table.count("\n") - 1
    for name, versions in rows:
        assert set(versions.split(", ")) == pinned()[name.replace("_", "-")], name


def test_no_package_installs_torch() -> None:
    assert "torch" not in pinned()
