"""The hash of code and machine: the same where scores are, another where kernels may differ."""

from pathlib import Path

import pytest

from gateway.serving.score_cache.build import build_of

FLAGS = "flags\t\t: fpu vme avx2 fma amx_bf16 ibrs\n"
GPU = "Model: \t\t NVIDIA H200\nIRQ:   \t\t 1\n"


def machine(folder: Path, flags: str = FLAGS, *gpus: str) -> Path:
    (folder / "proc").mkdir(parents=True)
    (folder / "proc/cpuinfo").write_text("processor\t: 0\nmodel name\t: A\n" + flags)
    for number, gpu in enumerate(gpus):
        place = folder / f"proc/driver/nvidia/gpus/{number}"
        place.mkdir(parents=True)
        (place / "information").write_text(gpu)
    return folder


def test_machines_with_the_same_instructions_are_alike(tmp_path: Path) -> None:
    first = build_of("cpu", machine(tmp_path / "a"), {})
    other_order = "flags\t\t: amx_bf16 fma avx2 vme fpu pti\n"  # pti is a fix of the kernel
    assert build_of("cpu", machine(tmp_path / "b", other_order), {}) == first
    assert build_of("cpu", machine(tmp_path / "c", "flags\t\t: avx2 fma\n"), {}) != first
    assert build_of("cpu", tmp_path / "nothing", {}) != first


def test_the_kind_of_gpu_counts_for_models_on_one(tmp_path: Path) -> None:
    one = machine(tmp_path / "one", FLAGS, GPU)
    two = machine(tmp_path / "two", FLAGS, GPU, GPU)
    other = machine(tmp_path / "other", FLAGS, GPU.replace("H200", "A100"))
    assert build_of("cuda:0", one, {}) == build_of("cuda:1", two, {})
    assert build_of("cuda:0", other, {}) != build_of("cuda:0", one, {})
    assert build_of("cpu", other, {}) == build_of("cpu", one, {})
    assert build_of("cuda:0", one, {}) != build_of("cpu", one, {})


@pytest.mark.parametrize(
    ("variable", "counts"),
    [("ATEN_CPU_CAPABILITY", True), ("NVIDIA_TF32_OVERRIDE", True), ("HOME", False)],
)
def test_variables_that_choose_kernels_count(variable: str, counts: bool, tmp_path: Path) -> None:
    root = machine(tmp_path / "a")
    assert (build_of("cpu", root, {variable: "1"}) != build_of("cpu", root, {})) is counts
