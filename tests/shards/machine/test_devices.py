"""Devices are present or refused, the number format is measured, threads are pinned."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import torch

from shards.machine import devices
from shards.refusal import Refusal
from shards.wire.exit_codes import ExitCode
from shards.wire.spec import ShardSpec

_PREPARED = """
import json, os, sys
from shards.machine import devices
from shards.wire.spec import ShardSpec
devices.prepare(ShardSpec(name="m/cpu", model="m", source="m", **json.loads(sys.argv[1])))
assert "torch" not in sys.modules
import torch
print(json.dumps({
    "cores": sorted(os.sched_getaffinity(0)),
    "threads": torch.get_num_threads(),
    "environment": dict(os.environ),
}))
"""


def spec_of(**settings: Any) -> ShardSpec:
    return ShardSpec(name="m/cpu", model="m", source="m", **settings)


def prepared(**settings: Any) -> dict[str, Any]:
    """Return the cores, threads and environment that `prepare` leaves in a fresh process."""
    run = subprocess.run(
        [sys.executable, "-c", _PREPARED, json.dumps(settings)],
        capture_output=True,
        check=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(run.stdout)
    return found


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="pinning needs Linux")
def test_prepare_pins_and_limits_threads() -> None:
    core = min(os.sched_getaffinity(0))
    found = prepared(cores=[core], offline=True)
    assert found["cores"] == [core]
    assert found["threads"] == 1
    environment = found["environment"]
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"
    assert int(environment["GOMP_SPINCOUNT"]) <= 10_000  # more starves a core that others use
    assert environment["TOKENIZERS_PARALLELISM"] == "false"
    assert environment["HF_HUB_OFFLINE"] == "1"


def test_prepare_takes_threads_before_cores() -> None:
    found = prepared(threads=2)
    assert found["threads"] == 2
    assert found["environment"]["RAYON_NUM_THREADS"] == "2"
    assert found["environment"].get("HF_HUB_OFFLINE") == os.environ.get("HF_HUB_OFFLINE")


def test_prepare_limits_the_instructions_of_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_CPU", "avx2")
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    assert prepared()["environment"]["ATEN_CPU_CAPABILITY"] == "avx2"
    monkeypatch.setenv("GATEWAY_CPU", "pentium")
    with pytest.raises(Refusal, match="GATEWAY_CPU is 'pentium'") as refusal:
        devices.prepare(spec_of())
    assert refusal.value.exit_code is ExitCode.SPEC


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="pinning needs Linux")
def test_absent_cores_are_refused() -> None:
    with pytest.raises(
        Refusal, match=r"cannot pin to cores 1000 .*this process may use"
    ) as refusal:
        devices.prepare(spec_of(cores=(1000,)))
    assert refusal.value.exit_code is ExitCode.SPEC


def test_the_cpu_is_always_present() -> None:
    assert devices.pick_device(spec_of()) == ("cpu", ())


@pytest.mark.parametrize("device", ["cuda:7000", "cuda:", "cuda:x", "tpu", "cpu:1"])
def test_a_required_device_that_is_absent_is_refused(device: str) -> None:
    with pytest.raises(Refusal, match=device) as refusal:
        devices.pick_device(spec_of(device=device))
    assert refusal.value.exit_code is ExitCode.SPEC


def test_a_device_that_is_not_required_falls_back_with_a_warning() -> None:
    device, (warning,) = devices.pick_device(spec_of(device="cuda:7000", device_required=False))
    assert device == "cpu"
    assert "cuda:7000 is absent" in warning
    assert "the CPU is used instead" in warning


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_is_used_in_half_precision() -> None:
    spec = spec_of(device="cuda:0")
    assert devices.pick_device(spec) == ("cuda:0", ())
    assert devices.pick_dtype(spec, "cuda:0", 1024, 3072, print) in ("bf16", "fp16")


def test_auto_measures_and_reports_its_finding() -> None:
    lines: list[str] = []
    dtype = devices.pick_dtype(spec_of(), "cpu", 512, 2048, lines.append)
    assert dtype in ("fp32", "bf16")
    assert lines[0].startswith(f"dtype {dtype}: bf16 measured ")


def test_a_model_too_small_to_gain_stays_exact() -> None:
    lines: list[str] = []
    assert devices.pick_dtype(spec_of(), "cpu", 128, 384, lines.append) == "fp32"
    assert lines == ["dtype fp32: this model is too small to gain from bf16"]


@pytest.mark.parametrize(("seconds", "expected"), [((3.0, 1.0), "bf16"), ((1.0, 0.95), "fp32")])
def test_bf16_is_taken_only_where_it_is_clearly_faster(
    seconds: tuple[float, float], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = dict(zip((torch.float32, torch.bfloat16), seconds, strict=True))
    monkeypatch.setattr(devices, "_measure", lambda dtype, *sizes: measured[dtype])
    assert devices.pick_dtype(spec_of(), "cpu", 1024, 3072, lambda line: None) == expected


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_named_format_is_not_questioned(dtype: str) -> None:
    assert devices.pick_dtype(spec_of(dtype=dtype), "cpu", 64, 128, pytest.fail) == dtype


def test_fp16_on_a_cpu_is_refused_with_the_reason() -> None:
    with pytest.raises(Refusal, match="times slower") as refusal:
        devices.pick_dtype(spec_of(dtype="fp16"), "cpu", 64, 128, print)
    assert refusal.value.exit_code is ExitCode.SPEC


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(Refusal, match="'int3' is not one of auto, fp32, bf16, fp16"):
        devices.pick_dtype(spec_of(dtype="int3"), "cpu", 64, 128, print)


@pytest.mark.parametrize(
    ("asked", "device", "expected"),
    [(0, "cpu", 2048), (0, "cuda:1", 16384), (0, "mps", 8192), (700, "cpu", 700)],
)
def test_token_budget(asked: int, device: str, expected: int) -> None:
    assert devices.pick_token_budget(spec_of(token_budget=asked), device) == expected
