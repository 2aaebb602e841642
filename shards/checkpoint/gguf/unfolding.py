"""A GGUF file as the folder of a checkpoint: config.json, its tokenizer, and a link to the file.

The folder is made once and kept in the user's cache under a name that is a hash of the head, of
the path and of what lies beside the file. Where the cache cannot be written, it is made for one
process. Folders whose file is gone are removed.
"""

import atexit
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from shards.checkpoint.bounded import read_bytes
from shards.checkpoint.gguf.families import Gguf, family_of, opened
from shards.checkpoint.gguf.source import read_head
from shards.checkpoint.gguf.tensors import WEIGHTS
from shards.checkpoint.gguf.vocabulary import tokenizer_files

_VERSION = "1"  # of what is written into the folder
_TOKENIZER = "tokenizer.json"
_FROM_BESIDE = (
    *(_TOKENIZER, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    "chat_template.jinja",
)
_LARGEST = 64 << 20


def unfolded(path: Path) -> Path:
    """Return the folder of a checkpoint for a GGUF file.

    Raises:
        Refusal: the file cannot be served; the message says why.
    """
    path = path.absolute()
    head = read_head(path)
    beside = _beside(path.parent)
    digest = hashlib.sha256(f"{_VERSION} {path} ".encode())
    for content in (head.content, *beside.values()):
        digest.update(hashlib.sha256(content).digest())
    name = digest.hexdigest()[:32]
    home = _cache()
    if (home / name / WEIGHTS).exists():
        return home / name
    gguf = opened(path, head)
    files = _files(gguf, beside)
    try:
        _remove_orphans(home)
        return _written(home, name, path, files)
    except OSError:
        return _written(_own_place(), name, path, files)


def _beside(folder: Path) -> dict[str, bytes]:
    """Return the files of a tokenizer that lies beside the GGUF file; none without one."""
    if not (folder / _TOKENIZER).is_file():
        return {}
    found = (folder / name for name in _FROM_BESIDE)
    return {path.name: read_bytes(path, _LARGEST) for path in found if path.is_file()}


def _files(gguf: Gguf, beside: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the content of the folder's files by their names."""
    config = family_of(gguf).config(gguf)
    form = config.get("quantization_config", {})
    config["quantization_config"] = {"quant_method": "gguf", **form}
    config["_name_or_path"] = _name(gguf)
    made = beside or {name: _json(content) for name, content in tokenizer_files(gguf).items()}
    return {"config.json": _json(config), **made}


def _name(gguf: Gguf) -> str:
    """Return the name of the file and that of the model, which may select a prompt.

    A head of the rows of yes and no is that of a Qwen3-Reranker, whatever its file is called.
    """
    named = "-".join(str(gguf.head.keys.get("general.name", "")).split())
    labels = gguf.sizes.content.get("classifier.output_labels")
    kind = "Qwen3-Reranker" if labels == ["yes", "no"] else ""
    return " ".join(dict.fromkeys(filter(None, (gguf.path.stem, named, kind))))


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _cache() -> Path:
    """Return the folder for all GGUF files: of the service, or of the user."""
    if service := os.environ.get("CACHE_DIRECTORY"):  # systemd
        return Path(service.partition(":")[0]) / "gguf"
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "rerank-gateway" / "gguf"


def _written(home: Path, name: str, path: Path, files: Mapping[str, bytes]) -> Path:
    """Write a folder beside its place, then move it there, so that none is found half made."""
    home.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".", dir=home))
    try:
        for file, content in files.items():
            (made / file).write_bytes(content)
        (made / WEIGHTS).symlink_to(path)
        if not (home / name).exists():
            made.rename(home / name)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return home / name


def _remove_orphans(home: Path) -> None:
    for folder in home.glob("[!.]*"):
        if not (folder / WEIGHTS).exists():
            shutil.rmtree(folder, ignore_errors=True)


@lru_cache(1)
def _own_place() -> Path:
    """Return a folder that lasts as long as the process."""
    place = Path(tempfile.mkdtemp(prefix="rerank-gateway-gguf-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place
