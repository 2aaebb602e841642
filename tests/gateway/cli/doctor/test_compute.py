"""Findings about GPUs and torch, from reports made here."""

from pathlib import Path
from typing import Any

from gateway.cli.doctor.compute import Examined, compute_findings, examine
from gateway.cli.doctor.finding import Finding, State
from gateway.supervision.machine import Machine

ONE_GPU = Machine(sockets=((0,),), gpus=1)
NO_GPU = Machine(sockets=((0,),))
GPU = {"name": "A GPU", "memory_bytes": 80 << 30, "capability": "9.0"}


def report(**changed: Any) -> dict[str, Any]:
    plain = {
        "torch": "2.13.0",
        "cuda": "13.0",
        "gpus": [GPU],
        "device": "cuda:0",
        "dtype": "bf16",
        "why": [],
        "warnings": [],
        "threads": 4,
        "kernels": {"summary": "kernels of our own are used", "remedy": ""},
    }
    return plain | changed


def findings(root: Path, machine: Machine, examined: Examined | str) -> dict[str, Finding]:
    return {finding.name: finding for finding in compute_findings(root, machine, examined)}


def gpu_files(root: Path) -> Path:
    (root / "dev").mkdir()
    (root / "dev" / "nvidia-uvm").touch()
    (root / "proc/driver/nvidia").mkdir(parents=True)
    (root / "proc/driver/nvidia/version").write_text(
        "NVRM version: NVIDIA Kernel Module  580.1.2\n"
    )
    return root


def test_a_gpu_that_works(tmp_path: Path) -> None:
    found = findings(gpu_files(tmp_path), ONE_GPU, report())
    assert {finding.state for finding in found.values()} == {State.GOOD}
    assert found["gpu driver"].found == "NVIDIA 580.1.2"
    assert found["gpu"].found == "A GPU, 80 GiB, compute 9.0"


def test_a_device_file_that_only_root_can_make_is_named(tmp_path: Path) -> None:
    found = findings(tmp_path, ONE_GPU, report())["gpu driver"]
    assert found.state is State.BAD
    assert "nvidia-modprobe" in found.remedy


def test_hidden_gpus_are_noted(tmp_path: Path) -> None:
    found = findings(gpu_files(tmp_path), NO_GPU, report(gpus=[]))["gpu driver"]
    assert found.state is State.NOTE
    assert "CUDA_VISIBLE_DEVICES" in found.remedy


def test_torch_without_cuda_beside_a_gpu_is_bad(tmp_path: Path) -> None:
    found = findings(gpu_files(tmp_path), ONE_GPU, report(cuda=None, gpus=[]))["torch"]
    assert found.state is State.BAD
    assert "CPU build" in found.remedy


def test_a_driver_that_is_too_old_is_bad(tmp_path: Path) -> None:
    found = findings(gpu_files(tmp_path), ONE_GPU, report(gpus=[]))["torch"]
    assert found.state is State.BAD
    assert "nvidia-smi" in found.remedy


def test_a_device_that_auto_does_not_get_is_noted(tmp_path: Path) -> None:
    found = findings(tmp_path, NO_GPU, report(gpus=[], warnings=["device cuda:0 is absent"]))
    assert found["auto"].state is State.NOTE
    assert found["auto"].remedy == "device cuda:0 is absent"


def test_kernels_that_could_be_compiled_are_noted(tmp_path: Path) -> None:
    kernels = {"summary": "kernels of our own are not used", "remedy": "apt-get install gcc"}
    found = findings(tmp_path, NO_GPU, report(gpus=[], kernels=kernels))["kernels"]
    assert (found.state, found.remedy) == (State.NOTE, "apt-get install gcc")
    here = findings(tmp_path, NO_GPU, examine("cpu"))["kernels"]
    assert here.found.startswith("kernels of our own are ")


def test_torch_that_does_not_start_is_bad(tmp_path: Path) -> None:
    found = findings(tmp_path, NO_GPU, "ImportError: libfoo")["torch"]
    assert (found.state, found.found) == (State.BAD, "ImportError: libfoo")


def test_an_error_of_the_examination_is_returned() -> None:
    failed = examine("cuda:77")
    assert isinstance(failed, str)
    assert "cuda:77 is absent" in failed
