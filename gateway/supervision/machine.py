"""The machine's resources for shards: cores by socket, GPUs, memory nodes.

Of two hardware threads of one core only the first is used: they share the units that multiply.
Nothing here imports a model library: GPUs are counted by their device files, so that the gateway
starts at once. A shard that finds no working device behind such a file reports that itself.

Linux describes the machine and our cgroup in files. They are read below a root that tests can
create. A file that cannot be read counts as empty: an older kernel, a container, another system.
"""

import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The resources that this process may use.

    Attributes:
        sockets: the cores of each CPU socket, one number per physical core.
        gpus: visible CUDA devices.
        nodes: the memory node of each core; empty on a machine with one node.
        gpu_nodes: the memory node that each visible GPU hangs at; `None` where it is unknown.
        mps: whether there is an Apple GPU.
        exclusive: whether shards may be pinned to cores. Under a CPU quota they may not: every
            container would pin its shards to the same first cores.
    """

    sockets: tuple[tuple[int, ...], ...]
    gpus: int = 0
    mps: bool = False
    exclusive: bool = True
    nodes: Mapping[int, int] = field(default_factory=dict)
    gpu_nodes: tuple[int | None, ...] = ()

    def cores_of(self, node: int) -> tuple[int, ...]:
        """Return the cores of a memory node."""
        return tuple(core for socket in self.sockets for core in socket if self.nodes[core] == node)

    def nodes_of(self, cores: Iterable[int]) -> tuple[int, ...]:
        """Return the memory nodes of some cores; nothing on a machine with one node."""
        return tuple(sorted({self.nodes[core] for core in cores})) if self.nodes else ()


def read_machine(root: Path = Path("/"), environ: Mapping[str, str] | None = None) -> Machine:
    """Return the resources that this process may use, from its affinity, its cgroup, /sys and /dev.

    Args:
        root: the folder of `sys`, `dev` and `proc`.
        environ: for CUDA_VISIBLE_DEVICES; this process's own when `None`.
    """
    environ = os.environ if environ is None else environ
    cores = _affinity()
    sockets = _sockets(root, cores)
    quota = _quota(root)
    limited = quota is not None and quota < sum(map(len, sockets))
    nodes = _nodes(root, cores)
    return Machine(
        sockets=_limit(sockets, quota) if limited and quota is not None else sockets,
        gpus=_gpus(root, environ),
        mps=sys.platform == "darwin" and os.uname().machine == "arm64",
        exclusive=not limited and hasattr(os, "sched_setaffinity"),
        nodes=nodes,
        gpu_nodes=_gpu_nodes(root, environ) if nodes else (),
    )


def _affinity() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _sockets(root: Path, cores: Iterable[int]) -> tuple[tuple[int, ...], ...]:
    """Group cores by socket, and keep the first usable hardware thread of each."""
    sockets: dict[str, dict[str, int]] = {}
    for core in cores:
        topology = root / f"sys/devices/system/cpu/cpu{core}/topology"
        socket = read_text(topology / "physical_package_id") or "0"
        physical = read_text(topology / "core_id") or f"alone {core}"
        die = read_text(topology / "die_id") or "0"
        sockets.setdefault(socket, {}).setdefault(f"{die} {physical}", core)
    return tuple(tuple(cores.values()) for cores in sockets.values())


def _nodes(root: Path, cores: Iterable[int]) -> dict[int, int]:
    """Return the memory node of each core; nothing if there is only one node."""
    found = {}
    for core in cores:
        names = [file.name for file in _list(root / f"sys/devices/system/cpu/cpu{core}")]
        node = next((name for name in names if re.fullmatch(r"node\d+", name)), "node0")
        found[core] = int(node.removeprefix("node"))
    several = len(_list(root / "sys/devices/system/node")) and len(set(found.values())) > 1
    return found if several else {}


def _gpu_nodes(root: Path, environ: Mapping[str, str]) -> tuple[int | None, ...]:
    """Return the memory node of each visible GPU, in the order of their PCI addresses.

    CUDA numbers devices in that order when CUDA_DEVICE_ORDER=PCI_BUS_ID, which shards set. Where
    CUDA_VISIBLE_DEVICES names devices otherwise than by number, the nodes are unknown.
    """
    addresses = sorted(file.name for file in _list(root / "proc/driver/nvidia/gpus"))
    found = [_gpu_node(root, address) for address in addresses]
    names = _visible(len(found), environ)
    return tuple(found[int(name)] for name in names) if all(map(str.isdigit, names)) else ()


def _gpu_node(root: Path, address: str) -> int | None:
    text = read_text(root / f"sys/bus/pci/devices/{address}/numa_node")
    return int(text) if text.isdigit() else None  # -1: unknown to the firmware


def _quota(root: Path) -> int | None:
    """Return the CPUs that the cgroup grants, rounded up; `None` without a limit.

    The tightest limit between our group and the root counts.
    """
    shares = [_share_of(folder / "cpu.max") for folder in group_folders(root)]
    legacy = _share_of_legacy(root / "sys/fs/cgroup/cpu")
    known = [share for share in (*shares, legacy) if share is not None]
    return max(1, -int(-min(known) // 1)) if known else None


def _share_of(file: Path) -> float | None:
    quota, _, period = read_text(file).partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _share_of_legacy(folder: Path) -> float | None:
    quota, period = read_text(folder / "cpu.cfs_quota_us"), read_text(folder / "cpu.cfs_period_us")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _limit(sockets: tuple[tuple[int, ...], ...], cores: int) -> tuple[tuple[int, ...], ...]:
    """Keep `cores` cores, from the first socket on."""
    kept = []
    for socket in sockets:
        kept.append(socket[:cores])
        cores -= len(kept[-1])
    return tuple(socket for socket in kept if socket)


def _gpus(root: Path, environ: Mapping[str, str]) -> int:
    """Return the number of GPUs that have a device file and are in CUDA_VISIBLE_DEVICES."""
    present = sum(bool(re.fullmatch(r"nvidia\d+", file.name)) for file in _list(root / "dev"))
    if not present and (root / "dev/dxg").exists() and (root / "usr/lib/wsl/lib").exists():
        present = 1  # Windows Subsystem for Linux has no device file per GPU
    return len(_visible(present, environ))


def _visible(present: int, environ: Mapping[str, str]) -> list[str]:
    """Return the names in CUDA_VISIBLE_DEVICES; the numbers of `present` GPUs if it is not set."""
    numbers = [str(number) for number in range(present)]
    listed = environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None or not present:
        return numbers
    names = (name.strip() for name in listed.split(","))
    # CUDA ignores the first invalid name and everything after it
    return list(takewhile(lambda name: name in numbers or name.startswith(("GPU-", "MIG-")), names))


def _list(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def read_text(file: Path) -> str:
    """Return the text of a file, without white space around it; empty where it cannot be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def groups(root: Path) -> dict[str, str]:
    """Return our cgroups: the path, without its first slash, by controller; v2's is `""`."""
    found = {}
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        found.update(dict.fromkeys(controllers.split(","), path.lstrip("/")))
    return found


def group_folders(root: Path) -> tuple[Path, ...]:
    """Return the folder of our cgroup (v2) and those above it: a limit of each of them holds.

    Inside a container our group is the root of the mounted file system, so the path in /proc leads
    nowhere, and the root is among those above.
    """
    group = root / "sys/fs/cgroup" / groups(root).get("", "")
    return (group, *group.parents)
