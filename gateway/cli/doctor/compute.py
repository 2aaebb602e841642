"""Findings about GPUs, drivers, torch and the choices of `auto`.

`shards.tools.examine` runs in a process of its own, since it imports torch.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gateway.cli.doctor.finding import Finding, bad, good, note
from gateway.supervision.machine import Machine, read_text

TIMEOUT_SECONDS = 120.0
"""Limit of the examination; the import of torch from a cold disk takes long."""

_GIB = 1 << 30

Examined = Mapping[str, Any]


def examine(device: str) -> Examined | str:
    """Return the report of `shards.tools.examine`, or the reason why there is none."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "shards.tools.examine", device],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"torch did not answer within {TIMEOUT_SECONDS:g} s"
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        return lines[-1] if lines else f"ended with code {done.returncode}"
    found: Examined = json.loads(done.stdout.splitlines()[-1])
    return found


def compute_findings(root: Path, machine: Machine, examined: Examined | str) -> Iterator[Finding]:
    """Yield findings about devices and number formats."""
    yield _driver(root, machine)
    if isinstance(examined, str):
        yield bad("torch", examined, "run scripts/setup again; it installs the pinned version")
        return
    yield _torch(machine, examined)
    yield from map(_gpu, examined["gpus"])
    yield _choice(examined)
    yield _kernels(examined["kernels"])


def _driver(root: Path, machine: Machine) -> Finding:
    version = re.search(r"Module\s+([\d.]+)", read_text(root / "proc/driver/nvidia/version"))
    if not machine.gpus:
        if version:
            return note(
                "gpu driver",
                f"NVIDIA {version[1]}, but no GPU is visible",
                "check CUDA_VISIBLE_DEVICES, and the devices that the container or the unit may "
                "use (DeviceAllow=)",
            )
        return good("gpu driver", "no NVIDIA GPU; models run on the CPU")
    if not (root / "dev/nvidia-uvm").exists():
        return bad(
            "gpu driver",
            f"{machine.gpus} GPUs, but /dev/nvidia-uvm is missing: CUDA cannot start",
            "run nvidia-modprobe -c0 -u as root; the systemd drop-in for GPUs runs it at each "
            "start",
        )
    return good("gpu driver", f"NVIDIA {version[1] if version else 'of unknown version'}")


def _torch(machine: Machine, examined: Examined) -> Finding:
    cuda = examined["cuda"]
    found = f"torch {examined['torch']}, {f'CUDA {cuda}' if cuda else 'without CUDA'}"
    if machine.gpus and not cuda:
        return bad(
            "torch",
            f"{found}, on a machine with GPUs: {machine.gpus}",
            'install PyPI\'s torch instead of the CPU build, or serve with devices = "cpu"',
        )
    if len(examined["gpus"]) < machine.gpus:
        return bad(
            "torch",
            f"{found}, sees {len(examined['gpus'])} of {machine.gpus} GPUs",
            f"the driver may be too old for CUDA {cuda}: nvidia-smi shows what it supports",
        )
    return good("torch", f"{found}, {examined['threads']} threads")


def _gpu(gpu: Mapping[str, Any]) -> Finding:
    memory = gpu["memory_bytes"] / _GIB
    return good("gpu", f"{gpu['name']}, {memory:.0f} GiB, compute {gpu['capability']}")


def _choice(examined: Examined) -> Finding:
    why = "; ".join(examined["why"]) or "the best of the device"
    found = f"for a model of 0.6B `auto` chooses {examined['device']}, {examined['dtype']}: {why}"
    if examined["warnings"]:
        return note("auto", found, "; ".join(examined["warnings"]))
    return good("auto", found)


def _kernels(kernels: Mapping[str, str]) -> Finding:
    found, remedy = kernels["summary"], kernels["remedy"]
    return note("kernels", found, remedy) if remedy else good("kernels", found)
