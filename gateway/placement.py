"""Which shard runs where: devices and cores. Pure; what there is says `machine`.

One shard per GPU, or per CPU socket when there is no GPU: a CPU shard that spans two sockets reads
half of its weights through the link between them. Several replicas on one socket get disjoint
cores, so that they do not fight.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.machine import Machine

DEVICE = r"auto|cpu(:\d{1,3})?|cuda(:\d{1,3})?|mps"
"""What a device may be called in the configuration: `cpu:N` is a socket, `cuda` is every GPU."""


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
