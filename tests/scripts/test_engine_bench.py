"""The engine bench, on a small checkpoint."""

import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner

from scripts import engine_bench
from scripts.engine_bench import Figure, linear_flop
from scripts.engine_requests import document_lengths
from scripts.full_size import QWEN3_06B
from tests import checkpoints


@pytest.mark.usefixtures("same_environment")
def test_a_row_for_each_workload_and_its_query_repeated(tmp_path: Path) -> None:
    folder = checkpoints.qwen3(tmp_path)
    arguments = [str(folder), "--dtype", "fp32,bf16", "--rounds", "1", "--json", "--threads", "1"]
    run = CliRunner().invoke(engine_bench.main, [*arguments, "--workload", "short3"])
    assert run.exit_code == 0, run.output
    report = json.loads(run.stdout)
    assert [(row["dtype"], row["workload"]) for row in report["rows"]] == [
        (dtype, name) for dtype in ("fp32", "bf16") for name in ("short3", "short3, repeated")
    ]
    first, repeated = report["rows"][:2]
    assert 0 < repeated["tokens"] < first["tokens"]  # the query was cached
    assert report["largest_difference"]["fp32"] == 0
    assert 0 < report["largest_difference"]["bf16"] < 0.5


@pytest.mark.usefixtures("same_environment")
def test_the_same_weights_go_through_transformers_flat_and_padded(tmp_path: Path) -> None:
    folder = checkpoints.qwen3(tmp_path)
    arguments = [
        str(folder),
        "--dtype",
        "fp32",
        "--transformers",
        "flat,padded,plain",
        "--rounds",
        "1",
        "--json",
    ]
    run = CliRunner().invoke(
        engine_bench.main, [*arguments, "--threads", "1", "--workload", "short3"]
    )
    assert run.exit_code == 0, run.output
    report = json.loads(run.stdout)
    tokens = [row["tokens"] for row in report["rows"] if row["workload"] == "short3"]
    assert 0 < tokens[0] == tokens[1] < tokens[2] == tokens[3]  # own, flat, padded, plain
    assert [note for note in report["notes"]["fp32 padded"] if "as was asked for" in note]
    first, *others = report["largest_difference"].values()
    assert first == 0
    assert all(0 < difference < 1e-4 for difference in others)  # other ways to compute the same


@pytest.mark.usefixtures("same_environment")
def test_devices_are_measured_side_by_side(tmp_path: Path) -> None:
    folder = checkpoints.qwen3(tmp_path)
    arguments = [str(folder), "--device", "cpu,mlx", "--dtype", "fp32", "--rounds", "1", "--json"]
    run = CliRunner().invoke(
        engine_bench.main, [*arguments, "--threads", "1", "--workload", "short3"]
    )
    assert run.exit_code == 0, run.output
    report = json.loads(run.stdout)
    assert [row["dtype"] for row in report["rows"] if row["workload"] == "short3"] == [
        *("fp32", "fp32 mlx")
    ]
    assert set(report["largest_difference"]) == {"fp32", "fp32 mlx"}
    assert 0 < report["largest_difference"]["fp32 mlx"] < 1e-4


def test_documents_have_the_lengths_of_the_workloads() -> None:
    draw = random.Random(0)
    assert all(10 <= length <= 20 for length in document_lengths("short3", draw))
    passages = document_lengths("rag1000", draw)
    assert len(passages) == 1000
    assert min(passages) >= 30
    assert max(passages) == 400


def test_the_flop_are_those_of_the_weights(tmp_path: Path) -> None:
    """There are two for each weight of the layers and token; the last layer leaves some out."""
    (tmp_path / "config.json").write_text(json.dumps(QWEN3_06B))
    weights = 28 * (1024 * (2048 + 2 * 1024 + 2048) + 3 * 1024 * 3072)
    all_of_it = linear_flop(tmp_path, Figure(1.0, tokens=100, documents=100))
    assert all_of_it == 2 * 100 * weights
    less = linear_flop(tmp_path, Figure(1.0, tokens=100, documents=1))
    assert 0.96 < less / all_of_it < 0.97
