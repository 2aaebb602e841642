"""Rates of single products by shape and rows, our kernels of each tier beside oneDNN's.

`scripts/bench-products --help`.
"""

import json
import time
from collections.abc import Callable, Mapping
from functools import partial

import click
import torch

from shards.engines.layers.int8 import Int8Linear
from shards.engines.layers.linear import onednn_product
from shards.machine.instructions import TIERS, WIDE
from shards.native.bf16_product import Bf16Product
from shards.native.int8_product import Int8Product
from shards.native.library import found_kernels, kernels, limited_to
from shards.native.rows import row_converter

SHAPES = {
    "qkv": (4096, 1024),
    "out": (1024, 2048),
    "gate, up": (6144, 1024),
    "down": (1024, 3072),
    "encoder up": (3072, 768),
    "encoder down": (768, 3072),
}
"""Outputs and inputs: the first four of Qwen3-Reranker-0.6B, the others of rubert-base."""

_ROUNDS = 6
_FLOP = 2e9  # of a round, about

Product = Callable[[], object]


def products(outputs: int, inputs: int, rows: int) -> Mapping[str, Product]:
    """Return the products of one shape by name; states in int8 are codes already."""
    weight = torch.randn(outputs, inputs) / inputs**0.5
    states = torch.randn(rows, inputs).bfloat16()
    library = kernels()
    assert library is not None
    codes = row_converter(library, torch.uint8)(states)
    found: dict[str, Product] = {
        "bf16 oneDNN": partial(onednn_product(weight.bfloat16()), states),
        "int8 oneDNN": partial(Int8Linear(weight), codes),
    }
    for tier in filter(WIDE.__contains__, TIERS):
        with limited_to(tier):
            library = kernels()
            if library is not None and found_kernels().tier == tier:
                found[f"bf16 {tier}"] = partial(Bf16Product(library, [weight]), states)
                found[f"int8 {tier}"] = partial(Int8Product(library, [weight]), codes)
    return found


def rates(found: Mapping[str, Product], flop: float, clock: Callable[[], float]) -> dict[str, int]:
    """Return GFLOP/s by name, the best of some rounds in turn."""
    best = dict.fromkeys(found, float("inf"))
    times = max(3, int(_FLOP / flop))
    for _ in range(_ROUNDS):
        for name, product in found.items():
            product()
            started = clock()
            for _ in range(times):
                product()
            best[name] = min(best[name], (clock() - started) / times)
    return {name: round(flop / seconds / 1e9) for name, seconds in best.items()}


@click.command()
@click.option("--threads", default=1, show_default=True, help="One: time on its core.")
@click.option("--rows", default="8,32,128,512", show_default=True, help="By comma.")
@click.option("--json", "as_json", is_flag=True)
def main(threads: int, rows: str, as_json: bool) -> None:
    """Measure products of weights with rows, in GFLOP/s."""
    torch.set_num_threads(threads)
    clock = time.thread_time if threads == 1 else time.perf_counter
    table = []
    for name, (outputs, inputs) in SHAPES.items():
        for count in map(int, rows.split(",")):
            found = rates(products(outputs, inputs, count), 2.0 * count * outputs * inputs, clock)
            table.append({"shape": name, "rows": count, **found})
            if not as_json:
                click.echo("  ".join(f"{key} {value}" for key, value in table[-1].items()))
    if as_json:
        click.echo(json.dumps(table, indent=2))


if __name__ == "__main__":
    main()
