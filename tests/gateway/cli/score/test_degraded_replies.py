"""Commands at a gateway whose model is away, and at a cascade.

Figures about a model hold no score of a fallback; a cascade ranks each list as a whole.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from click.testing import CliRunner, Result

from gateway.cli import cli
from gateway.cli.score.batch import PART_DOCUMENTS
from tests.gateway.cli.conftest import Serving

FAKE = 'engine = "fake"\ndevices = "cpu:0"\n'
CONFIG = f"""
port = 0
[models.demo]
source = "fake"
{FAKE}
[models.other]
source = "fake?inverted=1"
{FAKE}
[models.away]
source = "fake?refuse=65"
fallback = ["demo"]
{FAKE}
[cascades.deep]
first = "other"
then = "demo"
keep = 2
"""
REASON = "the model did not score all: away=demo"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("degraded")
    (folder / "gateway.toml").write_text(CONFIG)
    with Serving("--config", str(folder / "gateway.toml"), log=folder / "log") as serving:
        yield serving.url


@pytest.fixture
def labelled(tmp_path: Path) -> str:
    documents = [f"document {number}" for number in range(8)]
    lines = [
        {"query": f"query {number}", "documents": documents, "labels": [1, 0] * 4}
        for number in range(30)
    ]
    file = tmp_path / "labelled.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    return str(file)


def run(command: str, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [command, *arguments])


def test_an_order_of_a_fallback_is_printed_with_its_warning(url: str) -> None:
    done = run("rerank", "--url", url, "--model", "away", "-q", "q", "-d", "a", "-d", "b")
    assert (done.exit_code, len(done.stdout.splitlines())) == (0, 2)
    assert "warning: degraded: 'demo' scored instead" in done.stderr


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("calibrate", ("{labelled}", "--model", "away", "--out", "{out}", "--url", "{url}")),
        ("eval", ("away", "--candidates", "{labelled}", "--url", "{url}")),
        ("compare", ("demo", "away", "--data", "{labelled}", "--url", "{url}")),
        ("verify", ("{url}", "--model", "away")),
    ],
)
def test_a_figure_about_a_model_holds_no_score_of_another(
    url: str, labelled: str, tmp_path: Path, command: str, arguments: tuple[str, ...]
) -> None:
    out = tmp_path / "calibration.toml"
    sent = [argument.format(labelled=labelled, out=out, url=url) for argument in arguments]
    done = run(command, *sent)
    assert done.exit_code == 1
    assert REASON in done.stderr
    assert not out.exists()


def test_margins_that_a_cascade_made_are_no_base_of_a_calibration(
    url: str, labelled: str, tmp_path: Path
) -> None:
    out = tmp_path / "calibration.toml"
    done = run("calibrate", labelled, "--model", "deep", "--url", url, "--out", str(out))
    assert (done.exit_code, out.exists()) == (1, False)
    assert "'deep' is a cascade: name one of its models, other or demo" in done.stderr
    assert run("eval", "deep", "--candidates", labelled, "--url", url).exit_code == 0


def asked(url: str, query: str, documents: list[str]) -> list[int]:
    """Return the order of a cascade for one request."""
    body = json.dumps({"model": "deep", "query": query, "documents": documents}).encode()
    request = Request(f"{url}/v1/rerank", body, {"content-type": "application/json"})
    with urlopen(request) as reply:
        return [each["index"] for each in json.load(reply)["results"]]


def test_a_cascade_ranks_a_long_list_as_a_whole(url: str, tmp_path: Path) -> None:
    documents = [f"document {number}" for number in range(2 * PART_DOCUMENTS + 7)]
    (tmp_path / "many.txt").write_text("\n".join(documents))
    done = run("rerank", "--url", url, "--model", "deep", "-q", "q", str(tmp_path / "many.txt"))
    assert done.exit_code == 0, done.output
    order = [json.loads(line)["index"] for line in done.stdout.splitlines()]
    assert order == asked(url, "q", documents)


def test_a_cascade_ranks_each_request_of_a_file(url: str, tmp_path: Path) -> None:
    documents = [f"document {number}" for number in range(6)]
    file = tmp_path / "questions.jsonl"
    lines = [{"query": f"q{number}", "documents": documents} for number in range(5)]
    file.write_text("\n".join(map(json.dumps, lines)))
    done = run("rerank", "--url", url, "--model", "deep", str(file))
    assert done.exit_code == 0, done.output
    for number, line in enumerate(done.stdout.splitlines()):
        order = [each["index"] for each in json.loads(line)["results"]]
        assert order == asked(url, f"q{number}", documents)
