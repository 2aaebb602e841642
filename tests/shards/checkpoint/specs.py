"""Specs and refusals for the tests of checkpoints."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from shards.checkpoint import open_checkpoint, read_recipe
from shards.engines import load_engine
from shards.refusal import Refusal
from shards.wire.spec import ShardSpec


def copy_of(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to, dirs_exist_ok=True))


def spec_of(source: Path | str, **settings: Any) -> ShardSpec:
    settings = dict[str, Any](dtype="fp32", offline=True) | settings
    return ShardSpec(name="m/cpu", model="m", source=str(source), **settings)


def refusal_of(source: Path | str, **settings: Any) -> Refusal:
    """Return the refusal that ends the load."""
    with pytest.raises(Refusal) as refusal:
        load_engine(spec_of(source, **settings), lambda line: None)
    return refusal.value


def engine_name(spec: ShardSpec) -> str:
    """Return the engine that a checkpoint's recipe names."""
    return read_recipe(open_checkpoint(spec, lambda line: None), spec).engine
