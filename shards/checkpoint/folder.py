"""A checkpoint on this machine: its folder, its config, and where its tensors are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shards.checkpoint.fingerprint import fingerprint_of
from shards.checkpoint.hub import find_folder
from shards.checkpoint.weights import read_json, tensor_files
from shards.refusal import Refusal, Report
from shards.wire.spec import ShardSpec

if TYPE_CHECKING:
    import torch

_SIGMOID = "sigmoid"
_IDENTITY = "identity"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files are all there and whole.

    Attributes:
        name: its source as the operator wrote it.
        folder: where it lies.
        config: `config.json`.
        tensors: the file of each tensor.
    """

    name: str
    folder: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, Path]

    @property
    def architecture(self) -> str:
        """The class that the weights were saved from; empty if the config does not say."""
        names = self.config.get("architectures") or [""]
        return str(names[0])

    @property
    def full_name(self) -> str:
        """The source, and the name it was saved under if the config keeps one."""
        return f"{self.name} {self.config.get('_name_or_path', '')}".strip()

    @property
    def model_type(self) -> str:
        return str(self.config.get("model_type", ""))

    @property
    def sizes(self) -> tuple[int, int]:
        """Hidden and intermediate size (DistilBERT calls them otherwise); to measure with."""
        hidden = int(self.config.get("hidden_size") or self.config.get("dim") or 1024)
        named = self.config.get("intermediate_size") or self.config.get("hidden_dim")
        return hidden, int(named or 4 * hidden)

    @property
    def demonstration(self) -> bool:
        """Whether the checkpoint calls itself a demonstration model."""
        ours = self.config.get("rerank_gateway")
        return isinstance(ours, dict) and ours.get("demonstration") is True

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that the checkpoint says it knows."""
        ours = self.config.get("rerank_gateway")
        named = ours.get("languages", ()) if isinstance(ours, dict) else ()
        return tuple(map(str, named))

    @cached_property
    def fingerprint(self) -> str:
        """A hash that changes when config, tokenizer or weights do."""
        return fingerprint_of(self.folder, self.tensors)

    @cached_property
    def activation(self) -> str:
        """What the checkpoint applies to its logit: `sigmoid` (the default) or `identity`."""
        named, _ = self._activation
        return _IDENTITY if named.endswith("Identity") else _SIGMOID

    @property
    def activation_origin(self) -> str:
        """Where that is said."""
        named, where = self._activation
        return f"{where} says {named}" if named else "because nothing is said"

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        named, _ = self._activation
        if not named or named.endswith(("Identity", "Sigmoid")):
            return ()
        return (f"activation {named} is not one of Sigmoid and Identity; sigmoid is used",)

    @cached_property
    def _activation(self) -> tuple[str, str]:
        """The activation's name and the place that says it; both empty if none does."""
        path = self.folder / "config_sentence_transformers.json"
        beside = read_json(path) if path.is_file() else {}
        inside = self.config.get("sentence_transformers")
        inside = inside if isinstance(inside, dict) else {}
        old = "sbert_ce_default_activation_function"
        for said, key, where in (
            (inside, "activation_fn", "config.json"),
            (self.config, old, "config.json"),
            (beside, "activation_fn", path.name),
        ):
            if named := said.get(key):
                return str(named), where
        return "", ""

    def read_tensor(self, name: str, rows: slice | None = None) -> "torch.Tensor":
        """Read one stored tensor, or some of its rows, in the precision it is stored in."""
        from safetensors import safe_open

        with safe_open(self.tensors[name], framework="pt") as file:
            tensor: torch.Tensor = (
                file.get_tensor(name) if rows is None else file.get_slice(name)[rows]
            )
        return tensor

    def reader(self) -> "Callable[[str], torch.Tensor]":
        """Return what reads tensors by name as they are stored, and opens each file once.

        Files stay mapped as long as it lives, or a tensor that it gave.
        """
        from safetensors import safe_open

        opened: dict[Path, Any] = {}

        def read(name: str) -> "torch.Tensor":
            path = self.tensors[name]
            if path not in opened:
                opened[path] = safe_open(path, framework="pt")
            tensor: torch.Tensor = opened[path].get_tensor(name)
            return tensor

        return read


def open_checkpoint(spec: ShardSpec, report: Report) -> Checkpoint:
    """Find the checkpoint of a spec and check its files; nothing is loaded yet.

    Raises:
        Refusal: it is missing, incomplete, broken, or of a form we do not serve.
    """
    folder = find_folder(spec, report)
    if not (folder / "config.json").is_file():
        hint = "; it is an adapter, merge it" if (folder / "adapter_config.json").is_file() else ""
        raise Refusal(f"{folder} is not a checkpoint: it has no config.json{hint}")
    config = read_json(folder / "config.json")
    if "quantization_config" in config:
        raise Refusal(f"{spec.source} is quantised; give the fp32, bf16 or fp16 checkpoint")
    return Checkpoint(spec.source, folder, config, tensor_files(folder))
