"""docs/examples/rag_langchain.py, as it is."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("langchain_text_splitters")
pytest.importorskip("bm25s")

ROOT = Path(__file__).parents[2]
ANSWER = "Paris is the capital of France."


def test_the_pipeline_prints_the_passage_with_the_answer(url: str, tmp_path: Path) -> None:
    text = f"{'The river is cold in winter. ' * 100}{ANSWER} {'Snow falls on the hills. ' * 100}"
    (tmp_path / "france.md").write_text(text, encoding="utf-8")
    (tmp_path / "germany.txt").write_text("Berlin is a city in Germany.", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, ROOT / "docs/examples/rag_langchain.py", tmp_path, "capital of France"],
        env={**os.environ, "GATEWAY_URL": url},
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    places = re.findall(r"^[01]\.\d{3} (\S+), characters (\d+) to (\d+):$", done.stdout, re.M)
    found = [Path(file).read_text(encoding="utf-8")[int(a) : int(b)] for file, a, b in places]
    assert ANSWER in found[0]
    assert all(passage in done.stdout for passage in found)
