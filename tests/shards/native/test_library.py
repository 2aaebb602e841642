"""The kernels are compiled, loaded and used where possible; elsewhere the reason is reported."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from shards.machine.instructions import AVX2, LIMIT, TIERS, WIDE
from shards.native.build import (
    FLAGS,
    FOLDER,
    LIBRARY,
    BuildError,
    build,
    compiler,
    digest,
    flags_of,
    is_current,
    obstacle,
    sources,
)
from shards.native.library import (
    avx2_kernels,
    find_kernels,
    found_kernels,
    kernels,
    limited_to,
    without_kernels,
)
from tests.shards.native.here import TIERS_HERE, each, needs_kernels

THREADS = """
import os, threading, torch
from shards.native.library import kernels
from shards.native.rows import row_gate
gated = row_gate(kernels(), torch.bfloat16)
torch.set_num_threads(1)
product = torch.ones(4096, 64, dtype=torch.bfloat16)
def threads() -> int:
    gated(product)
    return len(os.listdir("/proc/self/task"))
before = len(os.listdir("/proc/self/task"))
alone = threads() - before
torch.set_num_threads(3)
three = threads() - before
libraries = {line.split()[-1] for line in open("/proc/self/maps") if "omp" in line}
torch.set_num_threads(1)
def elsewhere() -> None:
    before = len(os.listdir("/proc/self/task"))
    new.append(threads() - before)
new = []
for _ in range(2):
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
print(alone, three, len(libraries), *new)
"""


@pytest.mark.skipif(obstacle() is not None, reason=str(obstacle()))
def test_the_best_kernels_that_the_cpu_takes_are_used() -> None:
    assert is_current()
    found, tier = find_kernels(), next(iter(TIERS_HERE), "")
    assert found.tier == tier
    assert (found.library is not None) == (tier != "")
    use = "are used, for" if tier in WIDE else "are used for int8 alone, with"
    assert found.summary.startswith(
        f"kernels of our own {use} {TIERS[tier]}"
        if tier
        else f"kernels of our own are not used: this CPU lacks {TIERS[AVX2]}"
    )
    with without_kernels():
        assert kernels() is None
        assert avx2_kernels() is None
        assert str(found_kernels()).endswith("not used: they are left out on purpose")
    assert kernels() is (found.library if tier in WIDE else None)
    assert avx2_kernels() is (None if tier in WIDE else found.library)


@pytest.mark.skipif(obstacle() is not None, reason=str(obstacle()))
@pytest.mark.parametrize("limit", each(TIERS))
def test_the_variable_limits_the_tier(limit: str) -> None:
    code = "from shards.native.library import *; print(find_kernels().tier); print(found_kernels())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=FOLDER.parents[1],
        env=os.environ | {LIMIT: limit},
    )
    assert done.stdout.splitlines()[0] == limit
    assert f" {TIERS[limit]}" in done.stdout


@pytest.mark.parametrize("limit", each(TIERS))
def test_a_block_limits_the_tier(limit: str) -> None:
    with limited_to(limit):
        assert found_kernels().tier == limit
        assert (kernels() is None) == (limit not in WIDE)
    assert found_kernels().tier == TIERS_HERE[0]


@needs_kernels
def test_the_threads_are_those_of_pytorch() -> None:
    done = subprocess.run(
        [sys.executable, "-c", THREADS],
        capture_output=True,
        text=True,
        check=True,
        cwd=FOLDER.parents[1],
    )
    assert done.stdout.split() == ["0", "2", "1", "0", "0"]


def copied_sources(folder: Path) -> Path:
    folder.mkdir()
    for source in [*FOLDER.glob("*.c"), *FOLDER.glob("*.h")]:
        (folder / source.name).write_bytes(source.read_bytes())
    return folder


def test_a_library_of_other_sources_is_not_loaded(tmp_path: Path) -> None:
    other = tmp_path / "other.so"
    other.write_bytes(LIBRARY.read_bytes().replace(b"native_sources", b"native_sourceS"))
    assert is_current(other)
    changed = copied_sources(tmp_path / "changed")
    (changed / "rows.c").write_text((FOLDER / "rows.c").read_text() + "\n")
    assert not is_current(other, changed)
    other.write_bytes(b"none of ours")
    found = find_kernels(other)
    assert found.library is None
    assert "made of other sources" in str(found)
    assert "scripts/setup" in found.remedy


def test_a_broken_library_is_not_loaded(tmp_path: Path) -> None:
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"no library, but made of " + digest().encode())
    found = find_kernels(broken)
    assert found.library is None
    assert "cannot be loaded" in found.summary


def test_an_unreadable_library_is_not_loaded() -> None:
    """Even root cannot read this file from its start; a file of another user fails alike."""
    found = find_kernels(Path("/proc/self/mem"))
    assert found.library is None
    assert "cannot be read" in found.summary
    assert "chmod a+r" in found.remedy


def test_without_a_compiler_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    found = find_kernels(tmp_path / "kernels.so")
    assert "no C compiler" in found.summary
    assert found.remedy == "apt-get install gcc libc6-dev, then scripts/setup"
    with pytest.raises(BuildError, match="apt-get install gcc"):
        build(tmp_path / "kernels.so")


def test_another_machine_has_no_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    found = find_kernels(tmp_path / "aarch64.so")
    assert str(found) == "kernels of our own are not used: there are none for linux on aarch64"


def test_an_error_of_the_compiler_is_reported(tmp_path: Path) -> None:
    (tmp_path / "wrong.c").write_text("int f(void) { return undeclared(); }")
    with pytest.raises(BuildError, match="undeclared"):
        build(tmp_path / "kernels.so", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.c"]


def test_the_sources_give_no_warning(tmp_path: Path) -> None:
    assert build(tmp_path / "strict.so", extra=("-Werror",))
    assert not build(tmp_path / "strict.so", extra=("-Werror",))


ABOVE = {
    ("cpu.c", ""): ("%ymm", "%zmm"),
    ("threads.c", ""): ("%ymm", "%zmm"),
    ("avx2_product.c", "avx2_vnni"): ("%zmm", "%k1", "%ymm16"),
    ("avx2_product.c", "avx2"): ("%zmm", "%k1", "vpdpbusd"),
    ("attention.c", "avx512_vnni"): ("dpbf16", "vcvtne"),
    ("int8_product.c", "avx512_bf16"): ("%tmm",),
}
"""Registers and instructions that a tier must not touch, since they are those of better CPUs."""


@pytest.mark.parametrize(("name", "tier"), ABOVE)
@pytest.mark.skipif(obstacle() is not None, reason=str(obstacle()))
def test_no_file_takes_instructions_of_a_higher_tier(name: str, tier: str) -> None:
    flags = [*FLAGS, *flags_of(name)[tier], '-DSOURCES=""']
    command = [*compiler(), *flags, "-S", "-o", "-", str(FOLDER / name)]
    code = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "native_" in code or "in_parts" in code
    assert not [word for word in ABOVE[name, tier] if word in code]


@pytest.mark.skipif(obstacle() is not None, reason=str(obstacle()))
def test_a_wheel_holds_the_library_and_its_sources(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        capture_output=True,
        check=True,
        cwd=FOLDER.parents[1],
    )
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-linux_x86_64.whl")
    with zipfile.ZipFile(wheel) as files:
        held = {name for name in files.namelist() if name.startswith("shards/native/")}
    assert {f"shards/native/{source.name}" for source in sources()} < held
    assert "shards/native/kernels.so" in held


def test_a_wheel_that_was_made_without_a_compiler_says_what_it_lacks(tmp_path: Path) -> None:
    root, tree = FOLDER.parents[1], tmp_path / "tree"
    without = shutil.ignore_patterns("*.so", "models", "__pycache__")
    for name in ("gateway", "shards", "configs", "systemd"):
        shutil.copytree(root / name, tree / name, ignore=without)
    for name in ("pyproject.toml", "README.md", "LICENSE", "hatch_build.py"):
        shutil.copy(root / name, tree)
    nothing = {"PATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    build_it = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(
        build_it, cwd=tree, env=nothing, capture_output=True, text=True, check=True
    )
    remedy = "apt-get install gcc libc6-dev, then"
    assert f"no C compiler (cc) is here; {remedy}" in done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    shutil.unpack_archive(wheel, tmp_path / "installed", "zip")
    code = "from shards.native.library import find_kernels as f; print(f().summary, f().remedy)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**nothing, "PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == (
        "kernels of our own are not used: no C compiler (cc) is here "
        f"{remedy} {sys.executable} -m shards.native.build\n"
    )
