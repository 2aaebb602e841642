"""`gateway bench` against a real gateway."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.cli.conftest import gateway, svg_texts


def measured(*arguments: str) -> dict[str, Any]:
    done = gateway("bench", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_closed_loop_counts_its_requests(served: str) -> None:
    found = measured(served, "--workload", "short3", "--requests", "40", "--clients", "4")
    figures = found["short3"]
    assert figures["codes"] == {"200": 40}
    assert figures["requests"] == 40
    ratio = figures["documents_per_second"] / figures["requests_per_second"]
    assert ratio == pytest.approx(3, rel=0.01)
    assert 0 < figures["p50_ms"] <= figures["p95_ms"] <= figures["p99_ms"] <= figures["longest_ms"]
    assert figures["tokens_per_second"] > 0


def test_an_open_loop_keeps_its_rate(served: str) -> None:
    found = measured(served, "--workload", "mixed", "--rate", "200", "--requests", "100")["mixed"]
    assert found["codes"] == {"200": 100}
    assert found["seconds"] > 0.2  # 100 requests at 200 per second take this long


def test_all_workloads_are_run_when_none_is_named(served: str) -> None:
    found = measured(served, "--requests", "2", "--seconds", "30")
    assert list(found) == ["short3", "rag20", "rag100", "repeat", "mixed"]


def test_a_file_of_requests_and_plots(served: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text('{"query": "q", "documents": ["a", "b"]}\n')
    for suffix, magic in ((".svg", b"<?xml"), (".png", b"\x89PNG")):
        plot = tmp_path / f"run{suffix}"
        found = measured(served, "--file", str(file), "--requests", "5", "--plot", str(plot))
        assert found["mine.jsonl"]["codes"] == {"200": 5}
        assert plot.read_bytes().startswith(magic)
    assert f"the default model at {served}" in svg_texts(tmp_path / "run.svg")


def test_the_table_shows_every_figure(served: str) -> None:
    done = gateway("bench", served, "--workload", "short3", "--requests", "3")
    for word in ("requests/s", "documents/s", "tokens/s", "p50 ms", "p95 ms", "p99 ms", "200: 3"):
        assert word in done.stdout


def test_a_missing_server_is_reported_at_once() -> None:
    done = gateway("bench", "http://127.0.0.1:9")
    assert done.returncode == 2
    assert "nothing answers at http://127.0.0.1:9" in done.stderr


def test_refused_requests_are_reported_at_once(served: str) -> None:
    done = gateway("bench", served, "--model", "absent")
    assert done.returncode == 1
    assert "answers 404" in done.stderr
    assert "gateway rerank --url" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--clients", "2", "--rate", "3"), "give one"),
        (("--plot", "x.gif"), "must end in .svg or .png"),
        (("--plot", "nowhere/x.svg"), "there is no folder nowhere"),
        (("--file", "nowhere.jsonl"), "nowhere.jsonl"),
    ],
)
def test_wrong_options_are_named(options: tuple[str, ...], words: str) -> None:
    done = gateway("bench", *options)
    assert done.returncode == 2
    assert words in done.stderr
