"""The bench of a GPU runs through on the CPU, with tiny models, and its report is complete."""

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from scripts import gpu_bench
from scripts.engine_bench import Figure
from scripts.full_size import MODERNBERT_BASE, RUBERT_BASE
from scripts.gpu_bench import Measured, Row, flop, verdicts


def test_a_model_is_measured_in_a_process_of_its_own() -> None:
    arguments = ["--device", "cpu", "--quick", "--model", "qwen3-0.6b", "--dtype", "fp32", "--json"]
    run = CliRunner().invoke(gpu_bench.main, arguments)
    assert run.exit_code == 0, run.output
    (found,) = json.loads(run.stdout)["measured"]
    assert found["dtype"] == "fp32"
    assert found["allocated_mb"] > 50
    assert [row["workload"] for row in found["rows"]] == [
        name for workload in ("short3", "rag20") for name in (workload, f"{workload}, repeated")
    ]
    for row in found["rows"]:
        assert 0 < row["p50_ms"] <= row["p95_ms"]
        assert row["documents_per_second"] > 0


@pytest.mark.usefixtures("same_environment")
@pytest.mark.parametrize("model", ["rubert-base", "modernbert-base"])
def test_cross_encoders_are_measured_as_well(model: str, tmp_path: Path) -> None:
    folder = gpu_bench.TINY[model](tmp_path)
    found = gpu_bench.measure(model, folder, "fp32", "cpu", rounds=1, workloads=["short3"])
    assert [row.workload for row in found.rows] == ["short3"]  # without prefixes nothing repeats
    assert len(found.margins["rag20"]) == 20


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_the_error_has_an_instruction() -> None:
    run = CliRunner().invoke(gpu_bench.main, [])
    assert run.exit_code == 1
    assert "sees no CUDA device" in run.output
    assert "scripts/setup dev" in run.output


def measured(dtype: str, allocated_mb: float, margin: float, share: float) -> Measured:
    rows = [
        Row(
            workload=name,
            p50_ms=10.0,
            p95_ms=25.0,
            documents_per_second=1.0,
            tokens=1,
            share_of_ceiling=share,
        )
        for name in ("short3", "rag1000")
    ]
    return Measured(
        model="qwen3-0.6b",
        dtype=dtype,
        ceiling_tflops=1.0,
        seconds_to_load=1.0,
        loading_mb=1.0,
        allocated_mb=allocated_mb,
        reserved_mb=4000.0,
        notes=(),
        margins={"rag20": [margin]},
        rows=rows,
    )


def test_demands_are_judged_on_a_gpu() -> None:
    found = verdicts(
        [measured("fp32", 9000.0, 0.0, 0.1), measured("bf16", 3000.0, 0.2, 0.6)], "cuda:0"
    )
    assert [(verdict["found"], verdict["met"]) for verdict in found] == [
        (0.2, False),  # from fp32
        (pytest.approx(3.1457), True),  # GB allocated
        (pytest.approx(4.1943), False),  # GB reserved
        (25.0, False),  # p95 of short3
        (pytest.approx(0.4), True),  # lost of the ceiling
    ]


@pytest.mark.parametrize(("config", "per_layer"), [(RUBERT_BASE, 2), (MODERNBERT_BASE, 3)])
def test_flop_are_those_of_the_weights(
    config: dict[str, object], per_layer: int, tmp_path: Path
) -> None:
    kind = {2: "bert", 3: "modernbert"}[per_layer]
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": kind}))
    hidden, inner, layers = (
        int(str(config[name])) for name in ("hidden_size", "intermediate_size", "num_hidden_layers")
    )
    weights = layers * (4 * hidden * hidden + per_layer * hidden * inner)
    assert flop(tmp_path, Figure(1.0, tokens=10, documents=10)) == 2 * 10 * weights
