"""A checkpoint on this machine: its folder, its config, and the files of its tensors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shards.checkpoint.bounded import read_json
from shards.checkpoint.codes import Codes, codes_of, without_codes
from shards.checkpoint.expect import File
from shards.checkpoint.fingerprint import fingerprint_of
from shards.checkpoint.hub import find_folder
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
        tensors: the file of each tensor.
        is_graph: whether these are the files of an exported graph.
        codes: the tensors that are stored in codes; `None` for none.
    """

    name: str
    folder: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, Path]
    is_graph: bool = False
    codes: Codes | None = None

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

    @cached_property
    def fingerprint(self) -> str:
        """A hash that changes with config, tokenizer and weights."""
        return fingerprint_of(self.folder, self.tensors)

    def read_tensor(self, name: str, rows: slice | None = None) -> "torch.Tensor":
        """Read one stored tensor, or some of its rows, in the precision it is stored in."""
        from safetensors import safe_open

        if self.codes and name in self.codes.shapes:
            return self.codes.read(name, self._stored_reader(self.tensors[name]), rows)
        with safe_open(self.tensors[name], framework="pt") as file:
            tensor: torch.Tensor = (
                file.get_tensor(name) if rows is None else file.get_slice(name)[rows]
            )
        return tensor

    def rows_reader(self, name: str) -> "Callable[[torch.Tensor], torch.Tensor] | None":
        """Return a function that decodes some rows of a matrix; `None` if it is not in codes."""
        if self.codes is None or name not in self.codes.shapes:
            return None
        return self.codes.stored_rows(name, self._stored_reader(self.tensors[name]))

    def reader(self) -> "Callable[[str], torch.Tensor]":
        """Return a function that reads tensors by name, those in codes in fp32.

        It opens each file once. Files stay mapped as long as the function or one of its tensors is
        referenced.
        """
        opened: dict[Path, Callable[[str], torch.Tensor]] = {}

        def read(name: str) -> "torch.Tensor":
            path = self.tensors[name]
            if path not in opened:
                opened[path] = self._stored_reader(path)
            if self.codes and name in self.codes.shapes:
                return self.codes.read(name, opened[path])
            return opened[path](name)

        return read

    @staticmethod
    def _stored_reader(path: Path) -> "Callable[[str], torch.Tensor]":
        """Return a function that reads the tensors of a file as they are stored."""
        from safetensors import safe_open

        get: Callable[[str], torch.Tensor] = safe_open(path, framework="pt").get_tensor
        return get


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
    if config.get("quantization_config") is not None:
        raise Refusal(f"{spec.source} is quantised; give the fp32, bf16 or fp16 checkpoint")
    files = tensor_files(folder)
    headers = read_headers(files)
    codes = codes_of(File(str(folder / "config.json"), config), headers)
    tensors = without_codes(codes, files)
    expect_floats(tensors, {name: headers[name] for name in tensors if name in headers})
    return Checkpoint(spec.source, folder, config, tensors, codes=codes)
