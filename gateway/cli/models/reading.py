"""Checkpoints read by the code of a shard, in a process that may be killed.

One process reads all of them, since its start costs more than a checkpoint. If it ends, or does not
answer in time, the checkpoint that it was reading is at fault, and another process reads the rest.
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, Any

from gateway.config import ModelSpec
from gateway.config.specs import resolve

_SECONDS = 120.0  # of one checkpoint, and of the start of a process
_FAKE = "fake"
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Reading:
    """The outcome.

    Attributes:
        refused: the reason why a shard would not serve it; empty if it would.
        notes: how it is scored, in words.
        warnings: what a shard would warn of.
    """

    refused: str = ""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def read_checkpoints(specs: Sequence[ModelSpec], seconds: float = _SECONDS) -> dict[str, Reading]:
    """Return what a shard would find in the files of models, weights aside, by their names.

    Args:
        specs: the models.
        seconds: the time for one of them.
    """
    is_fake = {spec.name: _is_fake(spec) for spec in specs}
    found = {name: Reading() for name, fake in is_fake.items() if fake}
    left = [spec for spec in specs if not is_fake[spec.name]]
    while left:
        for reading in _read(tuple(left), seconds):
            found[left.pop(0).name] = reading
    return found


def _is_fake(spec: ModelSpec) -> bool:
    return spec.shards[0].engine == _FAKE or spec.source.startswith(_FAKE)


def _read(specs: Sequence[ModelSpec], seconds: float) -> Iterator[Reading]:
    """Yield what one process finds: of all models, or up to the one that it cannot read."""
    asked = "".join(json.dumps(_fields(spec)) + "\n" for spec in specs).encode()
    with TemporaryFile() as requests, TemporaryFile() as errors:
        requests.write(asked)
        requests.seek(0)
        command = [sys.executable, "-m", "shards.tools.read_checkpoint"]
        with subprocess.Popen(
            command, stdin=requests, stdout=subprocess.PIPE, stderr=errors
        ) as process:
            assert process.stdout is not None
            try:
                lines = _Lines(process.stdout)
                for _ in specs:
                    line = lines.next(time.monotonic() + seconds)
                    if line is None:
                        process.kill()
                        yield Reading(f"its files took over {seconds:g} s to read")
                        return
                    if not line:
                        yield _ended(process.wait(), errors)
                        return
                    yield _parsed(json.loads(line))
            finally:
                process.kill()


def _fields(spec: ModelSpec) -> dict[str, str | None]:
    shard = spec.shards[0]
    return {
        "source": resolve(spec.source),
        "revision": shard.revision,
        "template": shard.template,
        "engine": shard.engine,
        "onnx_file": shard.onnx_file,
        "scorer": shard.scorer,
        "query_prompt": shard.query_prompt,
        "document_prompt": shard.document_prompt,
    }


class _Lines:
    """The lines of a pipe, with a deadline each."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._data = b""

    def next(self, deadline: float) -> bytes | None:
        """Return the next line; an empty one at the end, `None` if none comes in time."""
        while b"\n" not in self._data:
            ready, _, _ = select.select([self._stream], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                return None
            chunk = os.read(self._stream.fileno(), _CHUNK)
            if not chunk:
                return b""
            self._data += chunk
        line, _, self._data = self._data.partition(b"\n")
        return line


def _ended(code: int, errors: IO[bytes]) -> Reading:
    errors.seek(0)
    last = errors.read().decode(errors="replace").strip().rpartition("\n")[2]
    return Reading(f"reading its files ended with {code}: {last[:200]}")


def _parsed(found: dict[str, Any]) -> Reading:
    if "refused" in found:
        return Reading(str(found["refused"]))
    recipe = found["recipe"]
    prompt = f", {recipe['prompt']}" if recipe["prompt"] else ""
    return Reading("", (f"{recipe['kind']}{prompt}", *recipe["notes"]), tuple(recipe["warnings"]))
