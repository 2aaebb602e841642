"""Cold requests, and the memory of a gateway none of whose models is loaded, over HTTP.

A `gateway serve` lists so many models with `load = "first-use"`. Its memory is read before the
first load, and again when every process of a model has ended. In between, a request is sent to the
first model while it is idle, and once more while it is loaded. `scripts/bench-idle --help`.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

import click
import psutil

from tests.system.running import Gateway, running

_MODEL = """
[models.m{number}]
source = "{source}"
load = "first-use"
score_cache = false
"""
_DOCUMENTS = ["Water boils at 100 °C.", "Paris is the capital of France.", "Cats sleep a lot."]


def _megabytes(gateway: Gateway) -> float:
    """Return the resident memory of the gateway and its helpers, in MB."""
    own = psutil.Process(gateway.process.pid)
    return sum(one.memory_info().rss for one in (own, *own.children(recursive=True))) / 1e6


async def _request_seconds(gateway: Gateway) -> float:
    started = time.perf_counter()
    status, body, _ = await gateway.rerank(_DOCUMENTS, model="m0")
    assert status == 200, body
    return time.perf_counter() - started


async def _unload(gateway: Gateway) -> None:
    """Unload the first model, and wait until its process has ended."""
    command = ("-m", "gateway", "unload", "m0", "--url", gateway.url)
    unloading = await asyncio.create_subprocess_exec(sys.executable, *command)
    assert await unloading.wait() == 0


async def _measure(source: str, models: int, rounds: int) -> None:
    config = "".join(_MODEL.format(number=number, source=source) for number in range(models))
    with tempfile.TemporaryDirectory() as folder:
        async with running("offline = true\n" + config, Path(folder)) as gateway:
            click.echo(f"{models} models listed, none loaded: {_megabytes(gateway):.0f} MB")
            cold, warm = [], []
            for _ in range(rounds):
                cold.append(await _request_seconds(gateway))
                warm.append(await _request_seconds(gateway))
                loaded = _megabytes(gateway)
                await _unload(gateway)
            click.echo(f"one loaded: {loaded:.0f} MB; unloaded again: {_megabytes(gateway):.0f} MB")
            for name, seconds in (("cold", cold), ("warm", warm)):
                middle, worst = statistics.median(seconds), max(seconds)
                click.echo(f"{name} request, {rounds} rounds: {middle:.3f} s, worst {worst:.3f} s")


@click.command()
@click.option("--source", default="embedded", help="The source of each model.")
@click.option("--models", default=20, help="The number of models that are listed.")
@click.option("--rounds", default=5, help="The number of cold requests.")
def main(source: str, models: int, rounds: int) -> None:
    """Measure cold requests and the memory of an idle gateway."""
    asyncio.run(_measure(source, models, rounds))


if __name__ == "__main__":
    main()
