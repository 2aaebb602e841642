"""A quantised checkpoint as a folder of plain floats, which plain transformers can load.

transformers needs the programs that wrote the weights; the numbers are read by `checkpoint` instead
(`scripts/compare-quantised` compares these with the programs'). All else is read by the reference.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shards.checkpoint import Checkpoint

_FORMS = ("quantization", "quantization_config")
_WEIGHTS = (".safetensors", ".safetensors.index.json", ".gguf")


@contextmanager
def in_floats(checkpoint: Checkpoint) -> Iterator[Path]:
    """Yield a folder with the checkpoint in floats: its own, where no program's form is in use."""
    if not any(checkpoint.config.get(key) for key in _FORMS):
        yield checkpoint.folder
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / checkpoint.folder.name
        shutil.copytree(checkpoint.folder, folder, ignore=_weights)
        config = {key: value for key, value in checkpoint.config.items() if key not in _FORMS}
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        _write_weights(checkpoint, folder)
        yield folder


def _weights(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name.endswith(_WEIGHTS) and name.startswith("model")]


def _write_weights(checkpoint: Checkpoint, folder: Path) -> None:
    from safetensors.torch import save_file

    read = checkpoint.reader()
    tensors = {name: read(name).contiguous() for name in checkpoint.tensors}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
