"""Which shard runs where. `place` is tried on every kind of machine without having one."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.placement import Machine, Place, place, read_machine

LAPTOP = Machine(sockets=((0, 1),))
SERVER = Machine(sockets=((0, 1, 2, 3), (4, 5, 6, 7)))
TWO_GPUS = Machine(sockets=((0, 1, 2, 3),), gpus=2)


def labels(places: tuple[Place, ...]) -> list[str]:
    return [one.label for one in places]


def test_one_socket_gets_one_shard_with_all_cores() -> None:
    assert place(LAPTOP) == (
        Place(label="cpu:0", device="cpu", required=False, cores=(0, 1), threads=2),
    )


def test_two_sockets_get_a_shard_each_on_their_own_cores() -> None:
    assert [(one.label, one.cores, one.threads) for one in place(SERVER)] == [
        ("cpu:0", (0, 1, 2, 3), 4),
        ("cpu:1", (4, 5, 6, 7), 4),
    ]


def test_every_gpu_gets_a_shard_and_the_cpu_none() -> None:
    places = place(TWO_GPUS)
    assert labels(places) == ["cuda:0", "cuda:1"]
    assert all(one.cores == () and one.threads == 2 for one in places)


def test_an_apple_gpu_is_used_when_there_is_no_other() -> None:
    assert labels(place(Machine(sockets=((0,),), mps=True))) == ["mps"]
    assert labels(place(Machine(sockets=((0,),), mps=True, gpus=1))) == ["cuda:0"]


def test_auto_may_fall_back_and_a_named_device_may_not() -> None:
    assert [one.required for one in place(TWO_GPUS)] == [False, False]
    assert [one.required for one in place(TWO_GPUS, ["cuda:1"])] == [True]
    assert [one.required for one in place(TWO_GPUS, ["cpu"])] == [True]


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        (["cuda"], ["cuda:0", "cuda:1"]),
        (["cuda:1"], ["cuda:1"]),
        (["cuda:0", "cuda:1"], ["cuda:0", "cuda:1"]),
        (["cuda:0", "cuda"], ["cuda:0", "cuda:1"]),
        (["cuda:0", "cuda:0"], ["cuda:0"]),
        (["cpu"], ["cpu:0"]),
        (["cpu:0", "cuda:0"], ["cpu:0", "cuda:0"]),
        (["cuda:7"], ["cuda:7"]),
        (["mps"], ["mps"]),
    ],
)
def test_named_devices_are_used_once_each_in_order(devices: list[str], expected: list[str]) -> None:
    assert labels(place(TWO_GPUS, devices)) == expected


def test_cuda_by_name_without_a_gpu_is_left_for_the_shard_to_refuse() -> None:
    assert labels(place(LAPTOP, ["cuda"])) == ["cuda:0"]


def test_replicas_on_one_socket_get_disjoint_cores() -> None:
    assert [(one.label, one.cores) for one in place(SERVER, replicas=4)] == [
        ("cpu:0", (0, 1)),
        ("cpu:0#1", (2, 3)),
        ("cpu:1", (4, 5)),
        ("cpu:1#1", (6, 7)),
    ]


def test_replicas_are_dealt_out_in_turn() -> None:
    assert labels(place(SERVER, replicas=1)) == ["cpu:0"]
    assert labels(place(SERVER, replicas=3)) == ["cpu:0", "cpu:0#1", "cpu:1"]
    assert labels(place(TWO_GPUS, replicas=3)) == ["cuda:0", "cuda:0#1", "cuda:1"]


def test_more_replicas_than_cores_share_them_one_thread_each() -> None:
    places = place(LAPTOP, replicas=3)
    assert [(one.cores, one.threads) for one in places] == [((0,), 1), ((1,), 1), ((0,), 1)]


def test_threads_can_be_set() -> None:
    assert [one.threads for one in place(SERVER, threads=1)] == [1, 1]
    assert [one.threads for one in place(TWO_GPUS, threads=7)] == [7, 7]


def test_without_exclusive_cores_nothing_is_pinned() -> None:
    shared = Machine(sockets=((0, 1),), exclusive=False)
    assert place(shared)[0].cores == ()
    assert place(shared)[0].threads == 2


machines = st.lists(st.integers(1, 6), min_size=1, max_size=4).map(
    lambda sizes: Machine(
        sockets=tuple(
            tuple(range(sum(sizes[:number]), sum(sizes[: number + 1])))
            for number in range(len(sizes))
        )
    )
)


@given(machines, st.integers(1, 40))
def test_on_any_machine_every_replica_has_a_name_and_cores_of_its_own(
    machine: Machine, replicas: int
) -> None:
    places = place(machine, replicas=replicas)
    assert len(places) == replicas == len(set(labels(places)))
    cores = [core for one in places for core in one.cores]
    assert all(one.threads == len(one.cores) >= 1 for one in places)
    smallest = min(map(len, machine.sockets))
    if replicas <= smallest * len(machine.sockets):
        assert len(cores) == len(set(cores))


class Host:
    """A directory that looks like the root of a machine."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, text: str = "") -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def core(self, number: int, *, socket: int, core: int) -> None:
        folder = f"sys/devices/system/cpu/cpu{number}/topology"
        self.write(f"{folder}/physical_package_id", f"{socket}\n")
        self.write(f"{folder}/core_id", f"{core}\n")

    def read(self, **environ: str) -> Machine:
        return read_machine(self.root, environ)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2, 3}, raising=False)
    return Host(tmp_path)


def test_an_empty_sys_means_one_socket(host: Host) -> None:
    assert host.read() == Machine(sockets=((0, 1, 2, 3),))


def test_sockets_come_from_sys(host: Host) -> None:
    for number in range(4):
        host.core(number, socket=number // 2, core=number)
    assert host.read().sockets == ((0, 1), (2, 3))


def test_of_two_hardware_threads_one_is_used(host: Host) -> None:
    for number in range(4):
        host.core(number, socket=0, core=number % 2)
    assert host.read().sockets == ((0, 1),)


def test_affinity_limits_the_cores(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        host.core(number, socket=number // 2, core=number)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {3, 2})
    assert host.read().sockets == ((2, 3),)


@pytest.mark.parametrize(
    ("maximum", "sockets", "exclusive"),
    [
        ("max 100000", ((0, 1, 2, 3),), True),
        ("400000 100000", ((0, 1, 2, 3),), True),
        ("150000 100000", ((0, 1),), False),
        ("10000 100000", ((0,),), False),
    ],
)
def test_a_quota_limits_threads_and_pins_nothing(
    host: Host, maximum: str, sockets: tuple[tuple[int, ...], ...], exclusive: bool
) -> None:
    host.write("proc/self/cgroup", "0::/unit.slice/unit.service\n")
    host.write("sys/fs/cgroup/unit.slice/cpu.max", maximum)
    host.write("sys/fs/cgroup/unit.slice/unit.service/cpu.max", "max 100000")
    machine = host.read()
    assert (machine.sockets, machine.exclusive) == (sockets, exclusive)


def test_the_older_cgroup_quota_counts_too(host: Host) -> None:
    host.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n")
    host.write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    assert host.read().sockets == ((0, 1),)


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, 3),
        ("", 0),
        ("-1", 0),
        ("0", 1),
        ("2, 0", 2),
        ("0,9,1", 1),
        ("GPU-8932f937,MIG-41b3359c", 2),
    ],
)
def test_gpus_are_device_files_that_cuda_visible_devices_lets_through(
    host: Host, visible: str | None, expected: int
) -> None:
    for name in ("nvidia0", "nvidia1", "nvidia2", "nvidiactl", "nvidia-uvm", "null"):
        host.write(f"dev/{name}")
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert host.read(**environ).gpus == expected


def test_a_visible_device_without_any_gpu_is_none(host: Host) -> None:
    assert host.read(CUDA_VISIBLE_DEVICES="0").gpus == 0


def test_this_machine_can_be_read() -> None:
    machine = read_machine()
    assert machine.sockets
    assert all(machine.sockets)
    assert place(machine)


# -- memory nodes --------------------------------------------------------------------------------

TWO_NODES = Machine(
    sockets=((0, 1, 2, 3), (4, 5, 6, 7)),
    gpus=3,
    nodes={core: core // 4 for core in range(8)},
    gpu_nodes=(1, 0, None),
)


def test_memory_comes_from_the_nodes_of_the_cores() -> None:
    found = place(TWO_NODES, ["cpu"])
    assert [(one.cores, one.memory_nodes) for one in found] == [
        ((0, 1, 2, 3), (0,)),
        ((4, 5, 6, 7), (1,)),
    ]


def test_a_gpu_has_the_cores_of_its_node_and_one_that_is_nowhere_has_any() -> None:
    found = place(TWO_NODES)
    assert [(one.label, one.cores, one.memory_nodes) for one in found] == [
        ("cuda:0", (4, 5, 6, 7), (1,)),
        ("cuda:1", (0, 1, 2, 3), (0,)),
        ("cuda:2", (), ()),
    ]
    assert [one.threads for one in found] == [4, 4, 2]


def test_shards_of_gpus_at_one_node_share_its_threads() -> None:
    machine = Machine(
        sockets=((0, 1, 2, 3),), gpus=2, nodes={0: 0, 1: 0, 2: 1, 3: 1}, gpu_nodes=(1, 1)
    )
    assert [(one.cores, one.threads) for one in place(machine)] == [((2, 3), 1), ((2, 3), 1)]


def test_a_quota_leaves_memory_where_it_is() -> None:
    machine = Machine(
        sockets=((0, 1),), exclusive=False, nodes={0: 0, 1: 1}, gpus=1, gpu_nodes=(1,)
    )
    assert all(
        one.memory_nodes == () and one.cores == () for one in place(machine, ["cpu", "cuda"])
    )


def numa_files(root: Path, gpus: dict[str, str]) -> Path:
    """Write a machine on which every second core belongs to the second node."""
    for core in sorted(os.sched_getaffinity(0)):
        folder = root / f"sys/devices/system/cpu/cpu{core}"
        (folder / "topology").mkdir(parents=True)
        (folder / f"node{core % 2}").mkdir()
        (folder / "topology" / "core_id").write_text(str(core))
    for node in (0, 1):
        (root / f"sys/devices/system/node/node{node}").mkdir(parents=True)
    (root / "dev").mkdir()
    for position, (address, where) in enumerate(gpus.items()):
        (root / "dev" / f"nvidia{position}").touch()
        (root / "proc/driver/nvidia/gpus" / address).mkdir(parents=True)
        device = root / "sys/bus/pci/devices" / address
        device.mkdir(parents=True)
        (device / "numa_node").write_text(f"{where}\n")
    return root


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two cores make two nodes")
def test_nodes_of_cores_and_gpus_are_read(tmp_path: Path) -> None:
    root = numa_files(tmp_path, {"0000:81:00.0": "1", "0000:01:00.0": "0", "0000:c1:00.0": "-1"})
    machine = read_machine(root, {})
    assert machine.nodes == {core: core % 2 for core in sorted(os.sched_getaffinity(0))}
    assert machine.gpu_nodes == (0, 1, None)  # by PCI address, as CUDA counts them
    assert read_machine(root, {"CUDA_VISIBLE_DEVICES": "1,0"}).gpu_nodes == (1, 0)
    assert read_machine(root, {"CUDA_VISIBLE_DEVICES": "GPU-1"}).gpu_nodes == ()


def test_one_node_is_none_to_speak_of() -> None:
    if len(list(Path("/sys/devices/system/node").glob("node[0-9]*"))) == 1:
        assert read_machine().nodes == {}
