"""What is said of GPUs and torch, from what was seen."""

from pathlib import Path
from typing import Any

from gateway.doctor.compute import Examined, compute_findings, examine
from gateway.doctor.finding import Finding, State
from gateway.machine import Machine

ONE_GPU = Machine(sockets=((0,),), gpus=1)
NO_GPU = Machine(sockets=((0,),))
GPU = {"name": "A GPU", "memory_bytes": 80 << 30, "capability": "9.0"}


def seen(**changed: Any) -> dict[str, Any]:
    plain = {
        "torch": "2.13.0", "cuda": "13.0", "gpus": [GPU], "device": "cuda:0", "dtype": "bf16",
        "why": [], "warnings": [], "threads": 4,
        "kernels": {"said": "kernels of our own are used", "remedy": ""},
    }  # fmt: skip
    return plain | changed


def findings(root: Path, machine: Machine, examined: Examined | str) -> dict[str, Finding]:
    return {one.name: one for one in compute_findings(root, machine, examined)}


def gpu_files(root: Path) -> Path:
    (root / "dev").mkdir()
    (root / "dev" / "nvidia-uvm").touch()
    (root / "proc/driver/nvidia").mkdir(parents=True)
    (root / "proc/driver/nvidia/version").write_text(
        "NVRM version: NVIDIA Kernel Module  580.1.2\n"
    )
    return root


def test_a_gpu_that_works(tmp_path: Path) -> None:
    found = findings(gpu_files(tmp_path), ONE_GPU, seen())
    assert {one.state for one in found.values()} == {State.GOOD}
    assert found["gpu driver"].found == "NVIDIA 580.1.2"
    assert found["gpu"].found == "A GPU, 80 GiB, compute 9.0"


def test_a_device_file_that_only_root_can_make_is_named(tmp_path: Path) -> None:
    found = findings(tmp_path, ONE_GPU, seen())["gpu driver"]
    assert found.state is State.BAD
    assert "nvidia-modprobe" in found.remedy


def test_gpus_that_are_hidden_are_noted(tmp_path: Path) -> None:
    found = findings(gpu_files(tmp_path), NO_GPU, seen(gpus=[]))["gpu driver"]
    assert found.state is State.NOTE
    assert "CUDA_VISIBLE_DEVICES" in found.remedy


def test_torch_without_cuda_beside_a_gpu_is_bad(tmp_path: Path) -> None:
    found = findings(gpu_files(tmp_path), ONE_GPU, seen(cuda=None, gpus=[]))["torch"]
    assert found.state is State.BAD
    assert "CPU build" in found.remedy


def test_a_driver_that_is_too_old_is_bad(tmp_path: Path) -> None:
    found = findings(gpu_files(tmp_path), ONE_GPU, seen(gpus=[]))["torch"]
    assert found.state is State.BAD
    assert "nvidia-smi" in found.remedy


def test_a_device_that_auto_does_not_get_is_noted(tmp_path: Path) -> None:
    found = findings(tmp_path, NO_GPU, seen(gpus=[], warnings=["device cuda:0 is absent"]))
    assert found["auto"].state is State.NOTE
    assert found["auto"].remedy == "device cuda:0 is absent"


def test_kernels_that_could_be_compiled_are_noted(tmp_path: Path) -> None:
    kernels = {"said": "kernels of our own are not used", "remedy": "apt-get install gcc"}
    found = findings(tmp_path, NO_GPU, seen(gpus=[], kernels=kernels))["kernels"]
    assert (found.state, found.remedy) == (State.NOTE, "apt-get install gcc")
    (ours,) = (
        one for one in compute_findings(tmp_path, NO_GPU, examine("cpu")) if one.name == "kernels"
    )
    assert ours.found.startswith("kernels of our own are ")


def test_torch_that_does_not_start_is_bad(tmp_path: Path) -> None:
    found = findings(tmp_path, NO_GPU, "ImportError: libfoo")["torch"]
    assert (found.state, found.found) == (State.BAD, "ImportError: libfoo")


def test_what_a_shard_would_be_told_is_reported() -> None:
    failed = examine("cuda:77")
    assert isinstance(failed, str)
    assert "cuda:77 is absent" in failed
