"""Which shard runs where: devices and cores. `place` is pure; `read_machine` looks at this host.

One shard per GPU, or per CPU socket when there is no GPU: a CPU shard that spans two sockets reads
half of its weights through the link between them. Several replicas on one socket get disjoint
cores, so that they do not fight. Of two hardware threads of one core only the first is used: they
share the units that multiply.

Nothing here imports a model library: GPUs are counted by their device files, so that the gateway
starts at once. A shard that finds no working device behind such a file says so itself.
"""

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.hostfiles import group_folders, read_text

DEVICE = r"auto|cpu(:\d{1,3})?|cuda(:\d{1,3})?|mps"
"""What a device may be called in the configuration: `cpu:N` is a socket, `cuda` is every GPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What this process may use.

    Attributes:
        sockets: the cores of each CPU socket, one number per physical core.
        gpus: visible CUDA devices.
        nodes: the memory node of each core; empty where there is one for all.
        gpu_nodes: the memory node that each visible GPU hangs at; `None` where nobody knows.
        mps: whether there is an Apple GPU.
        exclusive: whether the cores are ours to pin. Under a CPU quota they are not: every
            container would pin itself to the same first cores.
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
        """Return the memory nodes of some cores, if there are several on this machine."""
        return tuple(sorted({self.nodes[core] for core in cores})) if self.nodes else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one shard runs.

    Attributes:
        label: `cpu:0`, `cuda:1`, `mps`; `cpu:0#1` for the second shard there.
        device: what the shard opens: `cpu`, `cuda:N` or `mps`.
        required: whether the shard must refuse when the device is missing.
        cores: the cores it is pinned to; empty for no pinning.
        memory_nodes: where its memory should lie; empty for wherever the kernel likes.
        threads: compute threads, at least 1.
    """

    label: str
    device: str
    required: bool
    cores: tuple[int, ...]
    threads: int
    memory_nodes: tuple[int, ...] = ()


def place(
    machine: Machine,
    devices: Sequence[str] = ("auto",),
    *,
    replicas: int | None = None,
    threads: int = 0,
) -> tuple[Place, ...]:
    """Return the places of one model's shards.

    Args:
        machine: what there is.
        devices: names that match `DEVICE`; `auto` alone lets the machine decide.
        replicas: shards in total, dealt out over the devices in turn; `None` for one per device.
        threads: compute threads of each shard; 0 for as many as it has cores.
    """
    spots = _spots(machine, devices)
    total = len(spots) if replicas is None else replicas
    required = "auto" not in devices
    return tuple(
        _place(machine, spot, nth, _share(total, len(spots), position), total, required, threads)
        for position, spot in enumerate(spots)
        for nth in range(_share(total, len(spots), position))
    )


def _share(total: int, spots: int, position: int) -> int:
    """Return how many of `total` shards fall to the spot at `position`, dealt out in turn."""
    return total // spots + (position < total % spots)


def _spots(machine: Machine, devices: Sequence[str]) -> list[str]:
    """Return each device once, in order, as `cpu:N`, `cuda:N` or `mps`."""
    sockets = [f"cpu:{number}" for number in range(len(machine.sockets))]
    gpus = [f"cuda:{number}" for number in range(machine.gpus)]
    best = gpus or (["mps"] if machine.mps else sockets)
    meanings = {"auto": best, "cpu": sockets, "cuda": gpus or ["cuda:0"]}
    return list(dict.fromkeys(spot for name in devices for spot in meanings.get(name, [name])))


def _place(
    machine: Machine, spot: str, nth: int, sharing: int, total: int, required: bool, threads: int
) -> Place:
    kind, _, number = spot.partition(":")
    on_cpu = kind == "cpu"
    near = _cores_near_gpu(machine, spot)
    cores = _cores(machine, int(number), nth, sharing) if on_cpu else near
    around = len(near) or sum(map(len, machine.sockets))
    sharing_them = max(1, _shards_near(machine, spot, total)) if near else total
    return Place(
        label=f"{spot}#{nth}" if nth else spot,
        device="cpu" if on_cpu else spot,
        required=required,
        cores=cores if machine.exclusive else (),
        threads=threads or (len(cores) if on_cpu else max(1, around // sharing_them)),
        memory_nodes=machine.nodes_of(cores) if machine.exclusive else (),
    )


def _cores_near_gpu(machine: Machine, spot: str) -> tuple[int, ...]:
    """Return the cores of the memory node that a GPU hangs at; nothing where that is not known.

    Texts are tokenised and copied to the GPU from there without crossing to another socket. All
    shards near a node share its cores: a GPU's shard computes little on them.
    """
    kind, _, number = spot.partition(":")
    if kind != "cuda" or not machine.nodes or int(number) >= len(machine.gpu_nodes):
        return ()
    node = machine.gpu_nodes[int(number)]
    return () if node is None else machine.cores_of(node)


def _shards_near(machine: Machine, spot: str, total: int) -> int:
    """Return about how many shards share the cores of a GPU's node."""
    node = machine.gpu_nodes[int(spot.partition(":")[2])]
    gpus_there = sum(one == node for one in machine.gpu_nodes)
    return -(-total * gpus_there // max(1, len(machine.gpu_nodes)))


def _cores(machine: Machine, socket: int, nth: int, sharing: int) -> tuple[int, ...]:
    """Return the `nth` of `sharing` disjoint parts; one core each, shared, when there are fewer."""
    cores = machine.sockets[socket % len(machine.sockets)]
    if sharing > len(cores):
        return (cores[nth % len(cores)],)
    return cores[nth * len(cores) // sharing : (nth + 1) * len(cores) // sharing]


def read_machine(root: Path = Path("/"), environ: Mapping[str, str] | None = None) -> Machine:
    """Return what this process may use, from its affinity, its cgroup, /sys and /dev.

    Args:
        root: where `sys`, `dev` and `proc` lie.
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
    return tuple(tuple(one.values()) for one in sockets.values())


def _nodes(root: Path, cores: Iterable[int]) -> dict[int, int]:
    """Return the memory node of each core; nothing if there is only one node."""
    found = {}
    for core in cores:
        names = [one.name for one in _list(root / f"sys/devices/system/cpu/cpu{core}")]
        node = next((name for name in names if re.fullmatch(r"node\d+", name)), "node0")
        found[core] = int(node.removeprefix("node"))
    several = len(_list(root / "sys/devices/system/node")) and len(set(found.values())) > 1
    return found if several else {}


def _gpu_nodes(root: Path, environ: Mapping[str, str]) -> tuple[int | None, ...]:
    """Return the memory node of each visible GPU, in the order of their PCI addresses.

    CUDA numbers devices in that order when CUDA_DEVICE_ORDER=PCI_BUS_ID, which shards set. Where
    devices are named otherwise than by number, nothing is known.
    """
    addresses = sorted(one.name for one in _list(root / "proc/driver/nvidia/gpus"))
    found = [_gpu_node(root, address) for address in addresses]
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return tuple(found)
    names = [name.strip() for name in visible.split(",")]
    if not all(name.isdigit() and int(name) < len(found) for name in names):
        return ()
    return tuple(found[int(name)] for name in names)


def _gpu_node(root: Path, address: str) -> int | None:
    text = read_text(root / f"sys/bus/pci/devices/{address}/numa_node")
    return int(text) if text.isdigit() else None  # -1: the firmware does not say


def _quota(root: Path) -> int | None:
    """Return the CPUs that the cgroup grants, rounded up; `None` without a limit.

    The tightest limit on the way from our group to the root counts.
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
    """Count device files, and of them those that CUDA_VISIBLE_DEVICES lets us see."""
    present = sum(bool(re.fullmatch(r"nvidia\d+", one.name)) for one in _list(root / "dev"))
    if not present and (root / "dev/dxg").exists() and (root / "usr/lib/wsl/lib").exists():
        present = 1  # Windows Subsystem for Linux has no device file per GPU
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None or not present:
        return present
    count = 0
    for name in visible.split(","):
        name = name.strip()
        if not (name.startswith(("GPU-", "MIG-")) or (name.isdigit() and int(name) < present)):
            break  # CUDA ignores the first invalid name and everything after it
        count += 1
    return count


def _list(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
