"""A checkpoint on this machine: its folder, its config, and the files of its tensors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shards.checkpoint.bounded import read_json
from shards.checkpoint.expect import File
from shards.checkpoint.fingerprint import fingerprint_of
from shards.checkpoint.gguf import WEIGHTS, gguf_reader
from shards.checkpoint.hub import find_folder
from shards.checkpoint.quantised import NOTHING, Quantised, Read, read_quantised
from shards.checkpoint.unserved import adapter_hint, refuse_adapter
from shards.checkpoint.weights import expect_floats, read_headers, tensor_files
from shards.refusal import Refusal, Report
from shards.wire.cached_id import cached_id
from shards.wire.spec import ShardSpec

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files are all there and whole.

    Attributes:
        name: its source as the operator wrote it.
        folder: its folder.
        config: the content of `config.json`.
        stored: the file of each stored tensor.
        is_graph: whether these are the files of an exported graph.
        quantised: the matrices that are stored in parts.
    """

    name: str
    folder: Path
    config: Mapping[str, Any]
    stored: Mapping[str, Path]
    is_graph: bool = False
    quantised: Quantised = NOTHING

    @cached_property
    def tensors(self) -> Mapping[str, Path]:
        """The file of each tensor; of a matrix in parts, that of its first one."""
        return self.quantised.logical(self.stored)

    @property
    def files(self) -> Sequence[Path]:
        """The files of the weights."""
        return sorted(set(self.stored.values()))

    @property
    def architecture(self) -> str:
        """The class that the weights were saved from; empty if the config names none."""
        names = self.config.get("architectures")
        return str(names[0]) if isinstance(names, list) and names else ""

    @property
    def full_name(self) -> str:
        """The source, and the name it was saved under if the config keeps one."""
        return f"{self.name} {self.config.get('_name_or_path', '')}".strip()

    @property
    def own_names(self) -> str:
        """The names of the checkpoint itself, without the folders above it."""
        names = [name.rstrip("/").rpartition("/")[2] for name in self.full_name.split()]
        return " ".join((*names, cached_id(self.folder.absolute()))).strip()

    @property
    def model_type(self) -> str:
        return str(self.config.get("model_type", ""))

    @property
    def sizes(self) -> tuple[int, int]:
        """Hidden and intermediate size, to measure with; DistilBERT has other keys for them."""
        hidden = int(self.config.get("hidden_size") or self.config.get("dim") or 1024)
        named = self.config.get("intermediate_size") or self.config.get("hidden_dim")
        return hidden, int(named or 4 * hidden)

    @property
    def demonstration(self) -> bool:
        """True if the checkpoint calls itself a demonstration model."""
        ours = self.config.get("rerank_gateway")
        return isinstance(ours, dict) and ours.get("demonstration") is True

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that the checkpoint declares."""
        ours = self.config.get("rerank_gateway")
        named = ours.get("languages") if isinstance(ours, dict) else None
        return tuple(map(str, named)) if isinstance(named, list) else ()

    @property
    def notes(self) -> tuple[str, ...]:
        """The form of the weights, where it changes scores."""
        summary = self.quantised.summary
        return (f"weights are quantised: {summary}; states are not",) if summary else ()

    @cached_property
    def fingerprint(self) -> str:
        """A hash that changes with config, tokenizer and weights."""
        return fingerprint_of(self.folder, self.files)

    def read_tensor(self, name: str, rows: slice | None = None) -> "torch.Tensor":
        """Read one tensor, or some of its rows, in the precision it is stored in."""
        if name in self.quantised.matrices:
            return self.quantised.read(name, _stored_reader(self.stored), rows)
        if self.stored[name].name == WEIGHTS:
            found = _stored_reader(self.stored)(name)
            return found if rows is None else found[rows]
        from safetensors import safe_open

        with safe_open(self.stored[name], framework="pt") as file:
            tensor: torch.Tensor = (
                file.get_tensor(name) if rows is None else file.get_slice(name)[rows]
            )
        return tensor

    def rows_reader(self, name: str) -> "Callable[[torch.Tensor], torch.Tensor] | None":
        """Return a function that decodes some rows of a matrix; `None` where there is none."""
        if name not in self.quantised.matrices:
            return None
        return self.quantised.stored_rows(name, _stored_reader(self.stored))

    def reader(self) -> Read:
        """Return a function that reads tensors by name, those in parts in fp32.

        It opens each file once. Files stay mapped as long as the function or one of its tensors is
        referenced.
        """
        stored = _stored_reader(self.stored)

        def read(name: str) -> "torch.Tensor":
            if name in self.quantised.matrices:
                return self.quantised.read(name, stored)
            return stored(name)

        return read


def _stored_reader(files: Mapping[str, Path]) -> Read:
    """Return a function that reads tensors as they are stored; it opens each file once."""
    from safetensors import safe_open

    opened: dict[Path, Read] = {}

    def read(name: str) -> "torch.Tensor":
        path = files[name]
        if path not in opened:
            is_gguf = path.name == WEIGHTS
            opened[path] = (
                gguf_reader(path) if is_gguf else safe_open(path, framework="pt").get_tensor
            )
        return opened[path](name)

    return read


def open_checkpoint(spec: ShardSpec, report: Report) -> Checkpoint:
    """Find the checkpoint of a spec and check its files; nothing is loaded yet.

    Raises:
        Refusal: it is missing, incomplete, broken, or of a form that is not served.
    """
    folder = find_folder(spec, report)
    if not (folder / "config.json").is_file():
        hint = adapter_hint(folder)
        raise Refusal(f"{folder} is not a checkpoint: it has no config.json{hint}")
    refuse_adapter(folder)
    config = read_json(folder / "config.json")
    files = tensor_files(folder)
    headers = read_headers(files)
    content = File(str(folder / "config.json"), config)
    quantised = read_quantised(content, headers, _stored_reader(files))
    expect_floats(files, quantised.plain(headers))
    return Checkpoint(spec.source, folder, config, files, quantised=quantised)
