"""The modules of sentence-transformers, built from their own files and applied to one pair."""

import json
from pathlib import Path
from typing import Any

import torch


class Modules:
    """The modules that modules.json lists.

    Attributes:
        listed: the modules; empty where there is no such file.
        modalities: the modalities of the Transformer.
        chat_settings: variables for the Transformer's chat template.
        answers: the tokens of a LogitScore; `None` where there is no such module.
        pools: whether tokens are pooled.
    """

    def __init__(self, folder: Path | None) -> None:
        path = folder / "modules.json" if folder else None
        self.listed = json.loads(path.read_text()) if path and path.is_file() else []
        transformer = _json(folder, "sentence_bert_config.json") if self.listed else {}
        self.modalities: dict[str, Any] = transformer.get("modality_config") or {}
        chat = (transformer.get("processing_kwargs") or {}).get("chat_template") or {}
        sizes = ("restore_suffix", "truncation", "max_length", "padding", "return_tensors")
        self.chat_settings = {key: value for key, value in chat.items() if key not in sizes}
        self.answers: tuple[int, int | None] | None = None
        self.pools = False
        self._steps: list[Any] = []
        for module in self.listed[1:]:
            self._add(str(module["type"]).rpartition(".")[2], folder, module["path"])

    def _add(self, kind: str, folder: Path | None, path: str) -> None:
        config = _json(folder, f"{path}/config.json")
        if kind == "LogitScore":
            self.answers = (config["true_token_id"], config.get("false_token_id"))
        elif kind == "Pooling":
            self.pools = True
            self._steps.append(_pooling(config))
        elif kind == "Normalize":
            self._steps.append(lambda pooled: pooled / pooled.norm(dim=-1, keepdim=True))
        elif kind in ("Dense", "LayerNorm"):
            from safetensors.torch import load_file

            assert folder is not None
            tensors = load_file(folder / path / "model.safetensors")
            self._steps.append(_dense(config, tensors) if kind == "Dense" else _norm(tensors))

    def scores(self, states: torch.Tensor) -> torch.Tensor:
        """Return the scores of the states of one pair, `[1, tokens, hidden]`."""
        for step in self._steps:
            states = step(states)
        return states[0]


def _json(folder: Path | None, name: str) -> dict[str, Any]:
    path = folder / name if folder else None
    found: dict[str, Any] = json.loads(path.read_text()) if path and path.is_file() else {}
    return found


def _pooling(config: dict[str, Any]) -> Any:
    old = [
        key for key, value in config.items() if key.startswith("pooling_mode_") and value is True
    ]
    mode = config.get("pooling_mode") or (old[0].removeprefix("pooling_mode_") if old else "mean")
    mode = mode if isinstance(mode, str) else mode[0]

    def pool(states: torch.Tensor) -> torch.Tensor:
        tokens = states.shape[1]
        places = torch.arange(1.0, tokens + 1)[:, None]
        if mode in ("cls", "cls_token"):
            return states[:, 0]
        if mode == "lasttoken":
            return states[:, -1]
        if mode in ("max", "max_tokens"):
            return states.max(dim=1).values
        if mode.startswith("weightedmean"):
            return (states * places).sum(1) / places.sum()
        return states.sum(1) / (tokens**0.5 if "sqrt" in mode else tokens)

    return pool


def _dense(config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Any:
    linear = torch.nn.Linear(
        config["in_features"], config["out_features"], config.get("bias", True)
    )
    linear.load_state_dict(
        {
            name.removeprefix("linear."): tensor.float()
            for name, tensor in tensors.items()
            if name.startswith("linear.")
        }
    )
    path = config.get("activation_function", "torch.nn.modules.activation.Tanh") or "Identity"
    activation = getattr(torch.nn, path.rpartition(".")[2])()

    def dense(pooled: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = activation(linear(pooled))
        if not config.get("use_residual"):
            return made
        residual = tensors.get("residual.weight")
        return made + (pooled if residual is None else pooled @ residual.float().T)

    return dense


def _norm(tensors: dict[str, torch.Tensor]) -> Any:
    norm = torch.nn.LayerNorm(len(tensors["norm.weight"]))
    norm.load_state_dict({"weight": tensors["norm.weight"], "bias": tensors["norm.bias"]})
    return norm
