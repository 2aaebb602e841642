"""Many models under a memory budget in which a few fit, over HTTP: waits, loads, memory.

A `gateway serve` lists so many models with `load = "first-use"`. Clients send bursts to them, a few
models often and most of them rarely. The resident memory of all shards is read a hundred times a
second. `scripts/bench-many --help`.
"""

import asyncio
import random
import statistics
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import click
import psutil

from tests.system.running import Gateway, running

_MODEL = """
[models.m{number}]
source = "{source}"
load = "first-use"
score_cache = false
memory_mb = {memory}
"""
_BUDGET = """offline = true
[memory_budget]
machine_mb = {budget}
stay_seconds = {stay}
cool_seconds = {stay}
patience_seconds = {stay}
"""
_DOCUMENTS = ["Water boils at 100 °C.", "Paris is the capital of France.", "Cats sleep a lot."]


def resident_bytes(gateway: Gateway) -> int:
    """Return the resident memory of all processes that the gateway has started."""
    total = 0
    for process in gateway.shard_processes:
        with suppress(psutil.Error):
            total += process.memory_info().rss
    return total


async def _watch(gateway: Gateway, found: list[int]) -> None:
    while True:
        found.append(resident_bytes(gateway))
        await asyncio.sleep(0.01)


async def _client(
    gateway: Gateway, chance: random.Random, models: int, end: float, waits: list[float]
) -> None:
    """Send bursts of one to five requests until the end."""
    names, weights = range(models), [1 / (1 + number) for number in range(models)]
    while time.monotonic() < end:
        (model,) = chance.choices(names, weights)
        for _ in range(chance.randint(1, 5)):
            started = time.perf_counter()
            status, body, _ = await gateway.rerank(_DOCUMENTS, model=f"m{model}")
            assert status == 200, body
            waits.append(time.perf_counter() - started)
        await asyncio.sleep(chance.uniform(0, 2))


async def _measure(
    source: str, models: int, budget: int, memory: int, stay: float, clients: int, seconds: float
) -> None:
    config = _BUDGET.format(budget=budget, stay=stay)
    config += "".join(
        _MODEL.format(number=number, source=source, memory=memory) for number in range(models)
    )
    with tempfile.TemporaryDirectory() as folder:
        async with running(config, Path(folder)) as gateway:
            held: list[int] = []
            waits: list[float] = []
            watching = asyncio.create_task(_watch(gateway, held))
            end = time.monotonic() + seconds
            asking = [
                _client(gateway, random.Random(seed), models, end, waits) for seed in range(clients)
            ]
            await asyncio.gather(*asking)
            watching.cancel()
            found = await gateway.models()
            _print(list(found.values()), waits, max(held), budget)


def _print(models: list[dict[str, object]], waits: list[float], held: int, budget: int) -> None:
    loads = sum(int(str(model["loads"])) for model in models)
    seconds = [float(str(model["load_seconds"])) for model in models if model["load_seconds"]]
    cold = sorted(waits)[-max(1, loads) :]
    click.echo(f"{len(waits)} requests answered, none failed; {loads} loads")
    click.echo(f"a load took {statistics.median(seconds):.2f} s")
    click.echo(f"median {statistics.median(waits):.3f} s, of the slowest {len(cold)}: "
               f"{statistics.median(cold):.2f} s, worst {max(waits):.2f} s")  # fmt: skip
    within = "within" if held <= budget << 20 else "OVER"
    click.echo(f"most resident memory: {held / 2**20:.0f} MiB, {within} the budget of {budget} MiB")


@click.command()
@click.option("--source", default="embedded", help="The source of each model.")
@click.option("--models", default=20, help="The number of models that are listed.")
@click.option("--budget", default=2200, help="The memory budget, in MiB.")
@click.option("--memory", default=530, help="The stated memory of a model, in MiB.")
@click.option("--stay", default=5.0, help="The minimum stay of a model, in seconds.")
@click.option("--clients", default=3, help="The number of clients.")
@click.option("--seconds", default=120.0, help="The time of the run.")
def main(
    source: str, models: int, budget: int, memory: int, stay: float, clients: int, seconds: float
) -> None:
    """Measure waits, loads and memory of many models of which a few fit."""
    asyncio.run(_measure(source, models, budget, memory, stay, clients, seconds))


if __name__ == "__main__":
    main()
