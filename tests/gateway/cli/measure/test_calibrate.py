"""`gateway calibrate`, and replies afterwards; the fake engine's margins can be computed here."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from click.testing import CliRunner, Result

from gateway.cli import cli
from gateway.client import Client
from gateway.config import CalibrationEntry, read_calibrations, write_calibration
from gateway.domain.request import Calibration, sigmoid
from shards.engines.fake import margin
from tests.gateway.cli.conftest import Serving, gateway, svg_texts

TRUE = Calibration(0.5, -1.0)
CONFIG = """
port = 0
calibration_file = "calibration.toml"
[models.demo]
source = "fake"
engine = "fake"
devices = "cpu:0"
aliases = ["other"]
[models.embedded-bert]
source = "embedded:bert"
devices = "cpu:0"
threads = 1
"""
ENTRY = CalibrationEntry(
    slope=0.25,
    intercept=1.0,
    made="2026-11-21T12:00:00Z",
    pairs=500,
    relevant=100,
    ece_before=0.25,
    ece_after=0.03,
)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["calibrate", *map(str, arguments)])


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,500 pairs with labels drawn by the true map."""
    rng = random.Random(5)
    lines = []
    for query in range(50):
        documents = [f"document {number} of {query}" for number in range(30)]
        labels = [
            int(rng.random() < TRUE.score(margin(f"query {query}", text))) for text in documents
        ]
        lines.append({"query": f"query {query}", "documents": documents, "labels": labels})
    file = tmp_path_factory.mktemp("labelled") / "labelled.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    return file


def test_the_true_map_of_the_labels_is_found(served: str, labelled: Path, tmp_path: Path) -> None:
    out, plot = tmp_path / "calibration.toml", tmp_path / "diagram.svg"
    done = run(labelled, "--model", "demo", "--url", served, "--out", out, "--plot", plot, "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["model"], found["pairs"]) == ("demo", 1500)
    assert found["slope"] == pytest.approx(TRUE.slope, abs=0.08)
    assert found["intercept"] == pytest.approx(TRUE.intercept, abs=0.25)
    assert found["ece_after"] < 0.05 < found["ece_before"]
    assert found["log_loss_after"] < found["log_loss_before"]
    assert found["held_out"]
    entry = read_calibrations(out)["demo"]
    assert (entry.slope, entry.intercept) == (found["slope"], found["intercept"])
    assert plot.read_bytes().startswith(b"<?xml")
    assert "Calibration of demo" in svg_texts(plot)
    assert f'add calibration_file = "{out}"' in done.stderr


def test_local_shards_and_a_configuration(labelled: Path, tmp_path: Path) -> None:
    """The file of calibrations does not exist yet; the fit uses margins in any case."""
    config = tmp_path / "gateway.toml"
    moving = '[models.demo.shadow]\nmodel = "embedded-bert"\npercent = 100\n'
    split = "[splits.search.models]\ndemo = 1\nembedded-bert = 1\n"
    config.write_text(CONFIG + moving + split)
    done = gateway("calibrate", str(labelled), "--model", "demo", "--config", str(config))
    assert (done.returncode, done.stderr) == (0, "")
    for words in ("pairs, relevant", "slope, intercept", "ECE before, after", "calibration.toml"):
        assert words in done.stdout
    assert list(read_calibrations(tmp_path / "calibration.toml")) == ["demo"]


@pytest.mark.parametrize(
    ("content", "arguments", "code", "words"),
    [
        ('{"query": "q", "positive": ["a"], "negative": ["b"]}', (), 1, "at least 10 of each"),
        ('{"query": "q"}', (), 1, "it has no document"),
        ("", ("--plot", "x.gif"), 2, "must end in .svg or .png"),
        (
            '{"query": "q", "positive": ["a"]}',
            ("--url", "http://127.0.0.1:9"),
            2,
            "cannot be reached",
        ),
        ('{"query": "q", "positive": ["a"]}', ("--model", "absent"), 1, "'absent' is not served"),
    ],
)
def test_an_error_is_named_and_nothing_is_written(
    served: str, tmp_path: Path, content: str, arguments: tuple[str, ...], code: int, words: str
) -> None:
    file, out = tmp_path / "few.jsonl", tmp_path / "out.toml"
    file.write_text(content)
    done = run(file, "--url", served, "--out", out, *arguments)
    assert done.exit_code == code
    assert words in done.stderr
    assert not out.exists()


def test_labels_that_are_upside_down_are_refused(served: str, tmp_path: Path) -> None:
    documents = [f"document {number}" for number in range(60)]
    labels = [int(margin("q", text) < 0) for text in documents]
    file = tmp_path / "wrong.jsonl"
    file.write_text(json.dumps({"query": "q", "documents": documents, "labels": labels}))
    done = run(file, "--url", served, "--out", tmp_path / "out.toml")
    assert done.exit_code == 1
    assert "upside down" in done.stderr
    assert not (tmp_path / "out.toml").exists()


def test_a_dry_run_writes_nothing(served: str, labelled: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.toml"
    done = run(labelled, "--url", served, "--out", out, "--dry-run", "--temperature")
    assert done.exit_code == 0
    assert "nothing: --dry-run" in done.stdout
    assert not out.exists()


class Calibrated:
    """A gateway with calibrated models, and its file of calibrations."""

    def __init__(self, serving: Serving, file: Path) -> None:
        self.url = serving.url
        self.file = file

    def get(self, path: str) -> Any:
        with urlopen(self.url + path) as reply:
            return json.load(reply)

    def post(self, path: str, **body: Any) -> Any:
        headers = {"content-type": "application/json"}
        with urlopen(Request(self.url + path, json.dumps(body).encode(), headers)) as reply:
            return json.load(reply)

    def model(self, name: str) -> Any:
        return next(each for each in self.get("/status")["models"] if each["name"] == name)


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Calibrated]:
    folder = tmp_path_factory.mktemp("calibrated")
    (folder / "gateway.toml").write_text(CONFIG)
    file = folder / "calibration.toml"
    write_calibration(file, "demo", ENTRY)
    write_calibration(
        file,
        "embedded-bert",
        CalibrationEntry(
            slope=0.5,
            intercept=0.5,
            made="2026-01-01T00:00:00Z",
            pairs=10,
            relevant=5,
            ece_before=0.1,
            ece_after=0.1,
            weights="of another model",
        ),
    )
    with Serving("--config", str(folder / "gateway.toml"), log=folder / "log") as serving:
        yield Calibrated(serving, file)


DOCUMENTS = ["red", "green", "blue"]


def test_replies_carry_the_calibrated_score_and_the_raw_margin(calibrated: Calibrated) -> None:
    found = calibrated.post(
        "/v1/rerank", model="demo", query="q", documents=DOCUMENTS, return_details=True
    )
    margins = [margin("q", text) for text in DOCUMENTS]
    assert [result["margin"] for result in found["results"]] == sorted(margins, reverse=True)
    for result in found["results"]:
        assert result["relevance_score"] == sigmoid(0.25 * margins[result["index"]] + 1.0)


def test_our_client_has_the_calibrated_scores_of_lists_in_parts(calibrated: Calibrated) -> None:
    found = calibrated.post("/v1/rerank", model="demo", query="q", documents=DOCUMENTS)
    with Client(calibrated.url, model="demo", part_documents=1) as client:
        ranking = client.rerank("q", DOCUMENTS)
    assert [(each.index, each.relevance_score) for each in ranking] == [
        (each["index"], each["relevance_score"]) for each in found["results"]
    ]


def test_raw_scores_stay_margins(calibrated: Calibrated) -> None:
    margins = sorted((margin("q", text) for text in DOCUMENTS), reverse=True)
    raw = calibrated.post("/rerank", model="demo", query="q", texts=DOCUMENTS, raw_scores=True)
    assert [result["score"] for result in raw] == margins
    scaled = calibrated.post("/rerank", model="demo", query="q", texts=DOCUMENTS)
    assert [result["score"] for result in scaled] == [
        sigmoid(0.25 * each + 1.0) for each in margins
    ]


def test_status_and_models_show_the_calibration(calibrated: Calibrated) -> None:
    status = calibrated.model("demo")["calibration"]
    assert (status["slope"], status["intercept"], status["stale"]) == (0.25, 1.0, False)
    assert calibrated.get("/v1/models/demo")["calibrated"] == ENTRY.made
    calibrated.post("/v1/rerank", model="demo", query="q", documents=DOCUMENTS)
    scores = calibrated.model("demo")["scores"]
    assert scores["p90"] <= round(sigmoid(0.25 * 8 + 1.0), 6)
    assert scores["p10"] >= round(sigmoid(0.25 * -8 + 1.0), 6) > sigmoid(-4.0)
    shown = gateway("status", "--url", calibrated.url)
    assert "calibrated 2026-11-21" in shown.stdout
    assert "embedded-bert: the calibration was made for other weights" in shown.stdout


def test_a_calibration_for_other_weights_is_stale(calibrated: Calibrated) -> None:
    found = calibrated.post("/v1/rerank", model="embedded-bert", query="q", documents=["a", "b"])
    (warning,) = [line for line in found["meta"]["warnings"] if "calibration" in line]
    assert "2026-01-01T00:00:00Z was made for other weights" in warning
    assert calibrated.model("embedded-bert")["calibration"]["stale"]
    assert len(calibrated.get("/v1/models/embedded-bert")["weights"]) == 32


def test_a_reload_applies_a_new_file_without_new_shards(calibrated: Calibrated) -> None:
    before = [shard["pid"] for shard in calibrated.model("demo")["shards"]]
    text = calibrated.file.read_text()
    calibrated.file.write_text(text.replace("slope = 0.25", "slope = 0.125"))
    done = gateway("reload", "--url", calibrated.url)
    assert done.returncode == 0, done.stderr
    assert "made for other weights" in done.stdout + done.stderr
    found = calibrated.post("/v1/rerank", model="demo", query="q", documents=["red"])
    assert found["results"][0]["relevance_score"] == sigmoid(0.125 * margin("q", "red") + 1.0)
    assert [shard["pid"] for shard in calibrated.model("demo")["shards"]] == before

    calibrated.file.write_text(text.replace("slope = 0.25", "slope = -1.0"))
    done = gateway("reload", "--url", calibrated.url)
    assert done.returncode != 0
    assert "calibration_file" in done.stdout + done.stderr
    assert calibrated.model("demo")["calibration"]["slope"] == 0.125


def test_a_missing_file_is_reported_before_anything_starts(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(CONFIG)
    for command in (["check"], ["serve", "--config"]):
        done = gateway(*command, str(config))
        assert done.returncode == 78
        assert "calibration_file" in done.stderr
        assert "gateway calibrate" in done.stderr
