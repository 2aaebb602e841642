"""What the tests of checkpoints share."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from shards.engines import load_engine
from shards.refusal import Refusal
from shards.wire.spec import ShardSpec


def copy_of(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to, dirs_exist_ok=True))


def spec_of(source: Path | str, **settings: Any) -> ShardSpec:
    settings = dict[str, Any](dtype="fp32", offline=True) | settings
    return ShardSpec(name="m/cpu", model="m", source=str(source), **settings)


def refusal_of(source: Path | str, **settings: Any) -> Refusal:
    """Return the refusal that loading ends in."""
    with pytest.raises(Refusal) as refusal:
        load_engine(spec_of(source, **settings), lambda line: None)
    return refusal.value
