"""The task of a data scientist: rank in a notebook, measure, compare, calibrate, plot."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gateway.cli.conftest import CLEAN, gateway

ROOT = Path(__file__).parents[2]
ON_CPU = ("--device", "cpu", "--threads", "1")
NOTEBOOK = """
import asyncio
from gateway import Reranker

async def cell():  # Jupyter runs a cell beside its running loop
    with Reranker("embedded:bert", device="cpu", threads=1) as reranker:
        ranking = reranker.rerank(
            "What is the capital of France?",
            ["Berlin is the capital of Germany.", "Paris is the capital of France."],
        )
        later = await reranker.arerank("red fruit", ["a noon train", "red apples"], top_n=1)
    print(ranking.to_list()[0]["document"], later.to_list()[0]["document"], sep="|")

asyncio.run(cell())
"""
TOPICS = ("apples", "trains", "rivers", "planets", "bakers", "violins", "castles", "glaciers")
WITHOUT = """
import sys
sys.modules.update(dict.fromkeys(("bm25s", "ir_measures", "snowballstemmer", "matplotlib")))
sys.argv[0] = "gateway"
from gateway.__main__ import main
main()
"""
"""The command line as `./scripts/serve` installs it, without the extras."""


@pytest.fixture(scope="module")
def beir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection in the layout of BEIR: three documents of each topic, one of them right."""
    folder = tmp_path_factory.mktemp("beir")
    (folder / "qrels").mkdir()
    documents, queries, qrels = [], [], ["query-id\tcorpus-id\tscore"]
    for topic in TOPICS:
        queries.append({"_id": topic, "text": f"Where can I read about {topic}?"})
        qrels.append(f"{topic}\t{topic}-right\t1")
        texts = {
            "right": f"This book is all about {topic}; read it.",
            "near": f"Opening hours. Tickets. No {topic} are sold here. Read the rules.",
            "far": "The committee will read the minutes of the last meeting.",
        }
        documents += [{"_id": f"{topic}-{name}", "text": text} for name, text in texts.items()]
    for name, rows in (("queries", queries), ("corpus", documents)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "qrels" / "test.tsv").write_text("\n".join(qrels))
    return folder


def test_a_cell_of_a_notebook_ranks() -> None:
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK], env={**CLEAN, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == (
        "Paris is the capital of France.|red apples\n",
        "",
    )


def test_a_model_is_measured_compared_and_calibrated(beir: Path, tmp_path: Path) -> None:
    measured = gateway("eval", "embedded:bert", "--data", str(beir), *ON_CPU, "--json")
    assert measured.returncode == 0, measured.stderr
    rankings = json.loads(measured.stdout)["rankings"]
    reranked = rankings["reranked"]["measures"]["nDCG@10"]
    assert reranked["low"] <= reranked["mean"] <= reranked["high"]
    assert reranked["mean"] >= rankings["BM25"]["measures"]["nDCG@10"]["low"]

    plot = tmp_path / "agree.svg"
    models = ("embedded:bert", "embedded-qwen3")
    compared = gateway("compare", *models, "--data", str(beir), *ON_CPU, "--plot", str(plot))
    assert compared.returncode == 0, compared.stderr
    assert "nDCG@10, B less A" in compared.stdout
    assert "embedded:bert and embedded-qwen3" in plot.read_text(encoding="utf-8")

    pairs = [
        {"query": f"about {topic}", "document": f"A book about {other}.", "label": topic == other}
        for topic in (*TOPICS, "clocks", "gardens", "whales")
        for other in (*TOPICS, "clocks", "gardens", "whales")
    ]
    labelled, out = tmp_path / "labelled.jsonl", tmp_path / "calibration.toml"
    labelled.write_text("\n".join(map(json.dumps, pairs)))
    fitted = gateway(
        *("calibrate", str(labelled), "--model", "embedded:bert", *ON_CPU),
        *("--output", str(out), "--plot", str(tmp_path / "diagram.svg"), "--json"),
    )
    assert fitted.returncode == 0, fitted.stderr
    found = json.loads(fitted.stdout)
    assert (found["pairs"], found["relevant"]) == (121, 11)
    assert found["slope"] > 0
    assert out.is_file()


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (("eval", "m=fake", "--engine", "fake", "--data", "{beir}"), "eval"),
        (("compare", "m=fake", "n=fake", "--engine", "fake", "--data", "{beir}"), "eval"),
        (("calibrate", "{beir}", "--model", "m=fake", "--plot", "a.svg"), "plot"),
        (("bench", "http://127.0.0.1:1", "--plot", "a.svg"), "plot"),
    ],
    ids=["eval", "compare", "calibrate --plot", "bench --plot"],
)
def test_an_extra_that_is_missing_is_one_line(
    arguments: tuple[str, ...], extra: str, beir: Path, tmp_path: Path
) -> None:
    words = [word.format(beir=beir) for word in arguments]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *words], env={**CLEAN, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, timeout=240, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode in {2, 69}, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "pip install" in line]
    assert f"pip install 'rerank-gateway[{extra}]'" in line
    assert "Traceback" not in done.stderr
