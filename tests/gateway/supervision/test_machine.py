"""The resources of machines, read from files that the tests write."""

import os
from pathlib import Path

import pytest

from gateway.supervision.machine import Machine, read_machine
from gateway.supervision.placement import place


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


def test_one_node_counts_as_none() -> None:
    if len(list(Path("/sys/devices/system/node").glob("node[0-9]*"))) == 1:
        assert read_machine().nodes == {}
