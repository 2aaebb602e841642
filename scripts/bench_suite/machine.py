"""The machine that a measurement was made on, and what one matrix product reaches on it."""

import math
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional

from shards.engines.encoder.bert_int8 import codes_of
from shards.engines.encoder.bert_weights import Matrix
from shards.engines.encoder.int8_layers import Product
from shards.engines.layers.int8 import int8_works
from shards.native.encoder import Projection
from shards.native.library import kernels

Clock = Callable[[], float]
_SIZES = (1024, 1024, 3072)  # rows, inputs, outputs
_INT8_SIZES = (256, 768, 3072)  # the largest whose int32 sums stay in the cache
_TRIES = 8
_INT8_TRIES = 50
_MOST_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The machine behind the figures.

    Attributes:
        ceilings: GFLOP/s of one product by number format.
    """

    processor: str
    cores: int
    memory_gb: float
    torch: str
    ceilings: dict[str, int]


def this_machine(ceilings: dict[str, int]) -> Machine:
    """Return a description of this machine."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_gb=round(memory / 2**30, 1),
        torch=str(torch.__version__),
        ceilings=ceilings,
    )


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def ceilings(clock: Clock = time.perf_counter) -> dict[str, int]:
    """Return GFLOP/s of one matrix product by number format."""
    found = {
        "fp32": ceiling("cpu", torch.float32, clock),
        "bf16": ceiling("cpu", torch.bfloat16, clock),
    }
    if int8_works():
        found["int8"] = _int8_ceiling(clock)
    return {dtype: round(flops / 1e9) for dtype, flops in found.items()}


def ceiling(device: str, dtype: torch.dtype, clock: Clock = time.perf_counter) -> float:
    """Return the FLOP/s of one plain matrix product, the best of some."""
    rows, inputs, outputs = _SIZES if device == "cpu" else tuple(8 * size for size in _SIZES)
    states, weight = (
        torch.randn(size, inputs, device=device).to(dtype) for size in (rows, outputs)
    )

    def product() -> None:
        functional.linear(states, weight)
        if device.startswith("cuda"):
            torch.cuda.synchronize()

    return 2 * rows * inputs * outputs / _best(product, _TRIES, clock)


def _int8_ceiling(clock: Clock) -> float:
    """Return the rate of the faster product, oneDNN's or our kernels', codes made on the way."""
    rows, inputs, outputs = _INT8_SIZES
    weights = codes_of(Matrix(torch.randn(outputs, inputs), torch.zeros(outputs)))
    onednn, codes = Product(weights), torch.randint(0, 255, (rows, inputs), dtype=torch.uint8)
    best = _best(lambda: onednn(codes), _INT8_TRIES, clock)
    if (library := kernels()) is not None:
        ours, states = Projection(library, weights, torch.ones(inputs), 1), codes.bfloat16()
        best = min(best, _best(lambda: ours(states), _INT8_TRIES, clock))
    return 2 * rows * inputs * outputs / best


def _best(run: Callable[[], object], tries: int, clock: Clock) -> float:
    """Return the shortest time of some runs; of two where they are slow, as bf16 on old CPUs."""
    best, spent = math.inf, 0.0
    for number in range(tries):
        started = clock()
        run()
        seconds = clock() - started
        best, spent = min(best, seconds), spent + seconds
        if number and spent > _MOST_SECONDS:
            break
    return best
