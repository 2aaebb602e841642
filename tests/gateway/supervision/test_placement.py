"""Slots of shards on every kind of machine; none of them has to exist."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.supervision.machine import Machine
from gateway.supervision.placement import Slot, place

LAPTOP = Machine(sockets=((0, 1),))
SERVER = Machine(sockets=((0, 1, 2, 3), (4, 5, 6, 7)))
TWO_GPUS = Machine(sockets=((0, 1, 2, 3),), gpus=2)


def labels(slots: tuple[Slot, ...]) -> list[str]:
    return [slot.label for slot in slots]


def test_one_socket_gets_one_shard_with_all_cores() -> None:
    assert place(LAPTOP) == (
        Slot(label="cpu:0", device="cpu", required=False, cores=(0, 1), threads=2),
    )


def test_two_sockets_get_a_shard_each_on_their_own_cores() -> None:
    assert [(slot.label, slot.cores, slot.threads) for slot in place(SERVER)] == [
        ("cpu:0", (0, 1, 2, 3), 4),
        ("cpu:1", (4, 5, 6, 7), 4),
    ]


def test_every_gpu_gets_a_shard_and_the_cpu_none() -> None:
    slots = place(TWO_GPUS)
    assert labels(slots) == ["cuda:0", "cuda:1"]
    assert all(slot.cores == () and slot.threads == 2 for slot in slots)


def test_an_apple_gpu_is_used_when_there_is_no_other() -> None:
    assert labels(place(Machine(sockets=((0,),), mps=True))) == ["mps"]
    assert labels(place(Machine(sockets=((0,),), mps=True, gpus=1))) == ["cuda:0"]


def test_auto_may_fall_back_and_a_named_device_may_not() -> None:
    assert [slot.required for slot in place(TWO_GPUS)] == [False, False]
    assert [slot.required for slot in place(TWO_GPUS, ["cuda:1"])] == [True]
    assert [slot.required for slot in place(TWO_GPUS, ["cpu"])] == [True]


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


def test_cuda_by_name_without_a_gpu_is_for_the_shard_to_refuse() -> None:
    assert labels(place(LAPTOP, ["cuda"])) == ["cuda:0"]


def test_replicas_on_one_socket_get_disjoint_cores() -> None:
    assert [(slot.label, slot.cores) for slot in place(SERVER, replicas=4)] == [
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
    slots = place(LAPTOP, replicas=3)
    assert [(slot.cores, slot.threads) for slot in slots] == [((0,), 1), ((1,), 1), ((0,), 1)]


def test_threads_can_be_set() -> None:
    assert [slot.threads for slot in place(SERVER, threads=1)] == [1, 1]
    assert [slot.threads for slot in place(TWO_GPUS, threads=7)] == [7, 7]


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
    slots = place(machine, replicas=replicas)
    assert len(slots) == replicas == len(set(labels(slots)))
    cores = [core for slot in slots for core in slot.cores]
    assert all(slot.threads == len(slot.cores) >= 1 for slot in slots)
    smallest = min(map(len, machine.sockets))
    if replicas <= smallest * len(machine.sockets):
        assert len(cores) == len(set(cores))


# -- memory nodes --------------------------------------------------------------------------------

TWO_NODES = Machine(
    sockets=((0, 1, 2, 3), (4, 5, 6, 7)),
    gpus=3,
    nodes={core: core // 4 for core in range(8)},
    gpu_nodes=(1, 0, None),
)


def test_memory_comes_from_the_nodes_of_the_cores() -> None:
    found = place(TWO_NODES, ["cpu"])
    assert [(slot.cores, slot.memory_nodes) for slot in found] == [
        ((0, 1, 2, 3), (0,)),
        ((4, 5, 6, 7), (1,)),
    ]


def test_a_gpu_has_the_cores_of_its_node_and_one_without_a_node_has_any() -> None:
    found = place(TWO_NODES)
    assert [(slot.label, slot.cores, slot.memory_nodes) for slot in found] == [
        ("cuda:0", (4, 5, 6, 7), (1,)),
        ("cuda:1", (0, 1, 2, 3), (0,)),
        ("cuda:2", (), ()),
    ]
    assert [slot.threads for slot in found] == [4, 4, 2]


def test_shards_of_gpus_at_one_node_share_its_threads() -> None:
    machine = Machine(
        sockets=((0, 1, 2, 3),), gpus=2, nodes={0: 0, 1: 0, 2: 1, 3: 1}, gpu_nodes=(1, 1)
    )
    assert [(slot.cores, slot.threads) for slot in place(machine)] == [((2, 3), 1), ((2, 3), 1)]


def test_a_quota_leaves_memory_where_it_is() -> None:
    machine = Machine(
        sockets=((0, 1),), exclusive=False, nodes={0: 0, 1: 1}, gpus=1, gpu_nodes=(1,)
    )
    assert all(
        slot.memory_nodes == () and slot.cores == () for slot in place(machine, ["cpu", "cuda"])
    )
