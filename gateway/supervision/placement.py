"""Placement of shards on devices and cores. Pure: `machine` reads the machine.

One shard per GPU, or per CPU socket when there is no GPU: a CPU shard that spans two sockets reads
half of its weights through the link between them. Several replicas on one socket get disjoint
cores, so that they do not fight.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.supervision.machine import Machine

DEVICE = r"auto|cpu(:\d{1,3})?|cuda(:\d{1,3})?|mlx|mps"
"""The names of devices in the configuration: `cpu:N` is a socket, `cuda` is every GPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Device, cores and memory of one shard.

    Attributes:
        label: `cpu:0`, `cuda:1`, `mlx`, `mps`; `cpu:0#1` for the second shard there.
        device: the device of the shard: `cpu`, `cuda:N`, `mlx` or `mps`.
        required: whether the shard must refuse when the device is missing.
        cores: the cores it is pinned to; empty for no pinning.
        memory_nodes: the nodes for its memory; empty for the kernel's choice.
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
) -> tuple[Slot, ...]:
    """Return the slots of one model's shards.

    Args:
        machine: the resources.
        devices: names that match `DEVICE`; `auto` alone lets the machine decide.
        replicas: shards in total, dealt out over the devices in turn; `None` for one per device.
        threads: compute threads of each shard; 0 for as many as it has cores.
    """
    chosen = _chosen(machine, devices)
    total = len(chosen) if replicas is None else replicas
    required = "auto" not in devices
    return tuple(
        _slot(machine, device, nth, _share(total, len(chosen), position), total, required, threads)
        for position, device in enumerate(chosen)
        for nth in range(_share(total, len(chosen), position))
    )


def _share(total: int, devices: int, position: int) -> int:
    """Return how many of `total` shards fall to the device at `position`, dealt out in turn."""
    return total // devices + (position < total % devices)


def _chosen(machine: Machine, devices: Sequence[str]) -> list[str]:
    """Return each device once, in order, as `cpu:N`, `cuda:N`, `mlx` or `mps`."""
    sockets = [f"cpu:{number}" for number in range(len(machine.sockets))]
    gpus = [f"cuda:{number}" for number in range(machine.gpus)]
    best = gpus or (["mps"] if machine.mps else sockets)
    meanings = {"auto": best, "cpu": sockets, "cuda": gpus or ["cuda:0"]}
    return list(dict.fromkeys(found for name in devices for found in meanings.get(name, [name])))


def _slot(
    machine: Machine, device: str, nth: int, sharing: int, total: int, required: bool, threads: int
) -> Slot:
    """Return the slot of the `nth` of `sharing` shards on a device; there are `total` in all."""
    kind, _, number = device.partition(":")
    on_cpu = kind == "cpu"
    near = _cores_near_gpu(machine, device)
    cores = _cores(machine, int(number), nth, sharing) if on_cpu else near
    around = len(near) or sum(map(len, machine.sockets))
    sharing_them = max(1, _shards_near(machine, device, total)) if near else total
    return Slot(
        label=f"{device}#{nth}" if nth else device,
        device="cpu" if on_cpu else device,
        required=required,
        cores=cores if machine.exclusive else (),
        threads=threads or (len(cores) if on_cpu else max(1, around // sharing_them)),
        memory_nodes=machine.nodes_of(cores) if machine.exclusive else (),
    )


def _cores_near_gpu(machine: Machine, device: str) -> tuple[int, ...]:
    """Return the cores of the memory node that a GPU hangs at; nothing where that is unknown.

    Shards tokenize texts there and copy them to the GPU without crossing to another socket. All
    shards near a node share its cores: a GPU's shard computes little on them.
    """
    kind, _, number = device.partition(":")
    if kind != "cuda" or not machine.nodes or int(number) >= len(machine.gpu_nodes):
        return ()
    node = machine.gpu_nodes[int(number)]
    return () if node is None else machine.cores_of(node)


def _shards_near(machine: Machine, device: str, total: int) -> int:
    """Return about how many shards share the cores of a GPU's node."""
    node = machine.gpu_nodes[int(device.partition(":")[2])]
    gpus_there = machine.gpu_nodes.count(node)
    return -(-total * gpus_there // max(1, len(machine.gpu_nodes)))


def _cores(machine: Machine, socket: int, nth: int, sharing: int) -> tuple[int, ...]:
    """Return the `nth` of `sharing` disjoint parts; one shared core each, if there are fewer."""
    cores = machine.sockets[socket % len(machine.sockets)]
    if sharing > len(cores):
        return (cores[nth % len(cores)],)
    return cores[nth * len(cores) // sharing : (nth + 1) * len(cores) // sharing]
