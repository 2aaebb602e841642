"""The programs in docs/examples, run as they are; that of LangChain is in tests/clients."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gateway.cli.conftest import CLEAN, served

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
QUESTION = "What is the capital of France?"
ANSWER = "Paris is the capital of France."
MOST_LINES = 40

__all__ = ["served"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents about countries; the answer is in the middle of a long one."""
    folder = tmp_path_factory.mktemp("documents")
    padding = "The river is cold in winter, and the capital of the north is far. " * 60
    (folder / "france.md").write_text(f"{padding}{ANSWER} {padding}", encoding="utf-8")
    (folder / "germany.txt").write_text("Berlin is a city in Germany.", encoding="utf-8")
    (folder / "ignored.csv").write_text(ANSWER, encoding="utf-8")
    return folder


def run(folder: Path, **environ: str) -> list[tuple[str, str]]:
    """Return the passages that the example prints: each place, and the text there."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / "rag.py", folder, QUESTION],
        env={**CLEAN, "PYTHONPATH": str(ROOT), **environ},
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    found = re.findall(r"^[01]\.\d{3} (\S+), characters (\d+) to (\d+):$", done.stdout, re.M)
    texts = [
        (file, Path(file).read_text(encoding="utf-8")[int(a) : int(b)]) for file, a, b in found
    ]
    for _, text in texts:
        assert text.strip() in done.stdout
    return [(Path(file).name, text) for file, text in texts]


def test_the_pipeline_prints_the_passage_with_the_answer(folder: Path) -> None:
    found = run(folder)
    assert [name for name, _ in found] == ["france.md", "germany.txt"]
    assert ANSWER in found[0][1]
    assert len(found[0][1]) < 4000  # a passage, not the document


def test_the_pipeline_asks_a_gateway(folder: Path, served: str) -> None:
    assert {name for name, _ in run(folder, GATEWAY_URL=served)} == {"france.md", "germany.txt"}


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda file: file.name)
def test_an_example_stays_short(example: Path) -> None:
    assert example.read_text(encoding="utf-8").count("\n") <= MOST_LINES
