"""`gateway eval --first`: figures of a cascade, against those of a real one."""

import json
from pathlib import Path

import pytest

from tests.gateway.cli.conftest import gateway, svg_texts
from tests.system.running import running

CONFIG = """
[models.small]
source = "fake?inverted=1"
engine = "fake"
[models.large]
source = "fake"
engine = "fake"
[cascades.deep]
first = "small"
then = "large"
keep = 5
"""
WORDS = [
    *("apples", "pears", "trees", "trains", "stations", "fruit"),
    *("noon", "leaves", "red", "green", "grow", "are"),
]


@pytest.fixture
def candidates(tmp_path: Path) -> str:
    """Three queries with twelve labelled candidates each."""
    file = tmp_path / "candidates.jsonl"
    lines = []
    for number, query in enumerate(("red apples", "noon train", "green pears grow")):
        documents = [
            f"{word} {other}" for word, other in zip(WORDS, WORDS[number:] + WORDS, strict=False)
        ]
        labels = [int(query.split()[0] in text) for text in documents]
        lines.append(json.dumps({"query": query, "documents": documents, "labels": labels}))
    file.write_text("\n".join(lines))
    return str(file)


async def test_a_cascade_is_as_good_as_the_table_says(candidates: str, tmp_path: Path) -> None:
    plot = tmp_path / "keep.svg"
    async with running(CONFIG, tmp_path) as served:
        await served.until_ready()
        url = ("--url", served.url, "--candidates", candidates, "--json")
        swept = gateway("eval", "large", "--first", "small", "--plot", str(plot), *url)
        asked = gateway("eval", "deep", *url)
    assert swept.returncode == asked.returncode == 0, swept.stderr + asked.stderr
    cascade = json.loads(swept.stdout)["cascade"]
    assert [each["keep"] for each in cascade["keeps"]] == [5, 10]
    real = json.loads(asked.stdout)["rankings"]["reranked"]["measures"]["nDCG@10"]
    assert cascade["keeps"][0]["ndcg"] == real
    assert cascade["keeps"][0]["time"] > 0
    assert cascade["first"] == "small" and "recommended_keep" in cascade
    assert plot.read_bytes().startswith(b"<?xml")
    assert "small, then large" in svg_texts(plot)


async def test_the_table_ends_with_advice(candidates: str, tmp_path: Path) -> None:
    async with running(CONFIG, tmp_path) as served:
        await served.until_ready()
        done = gateway(
            "eval", "large", "--first", "large", "--url", served.url, "--candidates", candidates
        )
    assert done.returncode == 0, done.stderr
    assert "Cascade with large first" in done.stdout
    assert "keep = 5" in done.stdout  # the same model twice loses nothing, and saves no time


def test_a_plot_needs_a_cascade(candidates: str) -> None:
    done = gateway("eval", "x=fake", "--candidates", candidates, "--plot", "a.svg")
    assert done.returncode == 2 and "--first" in done.stderr


def test_few_candidates_make_no_cascade(tmp_path: Path) -> None:
    file, plot = tmp_path / "few.jsonl", tmp_path / "keep.svg"
    file.write_text(json.dumps({"query": "red", "documents": ["red", "blue"], "labels": [1, 0]}))
    local = ("--candidates", str(file), "--plot", str(plot), "--engine", "fake")
    done = gateway("eval", "x=fake", "--first", "y=fake", *local)
    assert done.returncode == 0, done.stderr
    assert "no query has more than 5 candidates" in done.stderr.lower()
    assert not plot.exists()
