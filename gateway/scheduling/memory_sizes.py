"""The memory that a shard takes: measured at earlier loads, stated, or estimated from its files.

After a load the peak until the shard was ready is known, and the most that it had since. Before
any, the estimate is that of its number format, with what a process takes without weights. `auto`
may measure fp32, and counts as that. What a shard takes for certain is less: the weights in the
narrowest format that the configuration allows.

Memory on a GPU is not measured: it is stated (`gpu_memory_mb`) or estimated.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.config import ModelSpec
from gateway.scheduling.memory_plan import Sizes
from gateway.supervision.lifecycle import State
from gateway.supervision.supervisor import Supervisor
from gateway.supervision.weight_files import Weights, weights_of
from shards.wire.spec import ShardSpec

MACHINE = "machine"
"""The pool of the machine's memory; the pools of GPUs have the names of their devices."""

_MIB = 1 << 20
_PROCESS_BYTES = 400 * _MIB  # of a shard with torch and a tiny model, shared pages included
_GPU_PROCESS_BYTES = 1500 * _MIB  # the same with a CUDA context
_FAKE_BYTES = 40 * _MIB  # without torch
_GPU_WORK_BYTES = 1024 * _MIB
_LOADING_SHARE = 1.15
_LOADED = frozenset({State.READY, State.SUSPECT, State.DRAINING})
_WIDEST = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 2, "auto": 4}
_NARROWEST = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1, "auto": 2}
"""Bytes of a number by `dtype`, at the load and at least."""


@dataclass(slots=True)
class Measured:
    """The resident memory of a kind of shard: the peak of a load, and the most after it."""

    load: int = 0
    resident: int = 0


@dataclass(frozen=True, slots=True)
class Need:
    """The memory of a load.

    Attributes:
        sizes: its peak, by pool.
        is_guess: whether a part of it is an estimate.
        least: what it takes for certain, by pool.
    """

    sizes: Sizes
    is_guess: bool
    least: Sizes


class MemorySizes:
    """The memory of shards, by what they load."""

    def __init__(self) -> None:
        self._measured: dict[tuple[str, ...], Measured] = {}
        self._weights: dict[str, Weights] = {}

    def measure(self, shard: Supervisor) -> None:
        """Note the memory of a shard that is ready."""
        if shard.state is not State.READY or not shard.load_peak_bytes:
            return
        found = self._measured.setdefault(_kind(shard.spec), Measured())
        found.load = max(found.load, shard.load_peak_bytes)
        found.resident = max(found.resident, shard.memory_bytes)

    def need(self, spec: ModelSpec) -> Need:
        """Return the memory that a load of a model takes."""
        needs = [self._need(spec, shard) for shard in spec.shards]
        return Need(
            _sum(need.sizes for need in needs),
            any(need.is_guess for need in needs),
            _sum(need.least for need in needs),
        )

    def _need(self, spec: ModelSpec, shard: ShardSpec) -> Need:
        measured, weights = self._measured.get(_kind(shard)), self._weights_of(shard)
        host = max(measured.load, measured.resident) if measured else spec.memory_mb * _MIB
        sizes = {MACHINE: host or _estimate(shard, weights)}
        least = {MACHINE: host or _least(shard, weights)}
        if not _is_on_gpu(shard):
            return Need(sizes, not host, least)
        stated = spec.gpu_memory_mb * _MIB
        sizes[shard.device] = stated or _on_gpu(shard, weights)
        least[shard.device] = stated or _least_bytes(shard, weights)
        return Need(sizes, not (host and stated), least)

    def held(self, spec: ModelSpec, shards: Iterable[Supervisor]) -> Sizes:
        """Return the memory that the shards of a model hold; of a loading one, its whole load."""
        return _sum(self._held(spec, shard) for shard in shards)

    def _held(self, spec: ModelSpec, shard: Supervisor) -> Sizes:
        if shard.pid is None and shard.state is State.FAILED:
            return {}
        need = dict(self._need(spec, shard.spec).sizes)
        if shard.state in _LOADED:
            measured = self._measured.get(_kind(shard.spec))
            need[MACHINE] = measured.resident if measured else 0
        need[MACHINE] = max(need[MACHINE], shard.memory_bytes)
        return need

    def _weights_of(self, shard: ShardSpec) -> Weights | None:
        if shard.source not in self._weights and (found := weights_of(shard.source)):
            self._weights[shard.source] = found
        return self._weights.get(shard.source)


def _kind(shard: ShardSpec) -> tuple[str, ...]:
    """Return the fields by which two shards take the same memory."""
    return (shard.source, shard.revision, shard.engine, shard.onnx_file, shard.device, shard.dtype)


def _sum(all_sizes: Iterable[Sizes]) -> Sizes:
    total: Counter[str] = Counter()
    for sizes in all_sizes:
        total.update(sizes)
    return total


def _is_on_gpu(shard: ShardSpec) -> bool:
    return shard.device.startswith("cuda")


def _bytes(shard: ShardSpec, weights: Weights | None, formats: Mapping[str, int]) -> int:
    return weights.decoded_bytes_at(formats[shard.dtype]) if weights else 0


def _estimate(shard: ShardSpec, weights: Weights | None) -> int:
    if shard.engine == "fake":
        return _FAKE_BYTES
    if _is_on_gpu(shard):  # weights pass through the machine's memory
        return _GPU_PROCESS_BYTES + (weights.file_bytes if weights else 0)
    return _PROCESS_BYTES + int(_LOADING_SHARE * _bytes(shard, weights, _WIDEST))


def _least(shard: ShardSpec, weights: Weights | None) -> int:
    return 0 if _is_on_gpu(shard) else _least_bytes(shard, weights)


def _least_bytes(shard: ShardSpec, weights: Weights | None) -> int:
    return weights.bytes_at(_NARROWEST[shard.dtype]) if weights else 0


def _on_gpu(shard: ShardSpec, weights: Weights | None) -> int:
    return _GPU_WORK_BYTES + int(_LOADING_SHARE * _bytes(shard, weights, {**_WIDEST, "auto": 2}))
