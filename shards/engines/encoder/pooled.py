"""A body, pooled states and what makes scores of them: modules of sentence-transformers, or rows.

The body is transformers' own, on padded batches with a mask. Everything after it runs in fp32, with
weights as they are stored.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional

from shards.checkpoint import Checkpoint, read_module
from shards.engines.layers.padding import padded_inputs
from shards.machine.devices import moved
from shards.pairs import Batch
from shards.recipe import HeadModule, Recipe
from shards.refusal import Refusal

Head = Callable[[torch.Tensor], torch.Tensor]
_NORM_EPSILON = 1e-5  # of torch.nn.LayerNorm, which the module leaves as it is


def pooled_states(states: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """Return one row for each pair of `states`, `[pairs, tokens, hidden]`, where `mask` is 1."""
    weights = mask[..., None].to(states.dtype)
    lengths = mask.sum(1, keepdim=True).to(states.dtype)
    if pooling == "cls":
        return states[:, 0]
    if pooling == "lasttoken":
        return states[torch.arange(len(states), device=states.device), mask.sum(1) - 1]
    if pooling == "max":
        return states.masked_fill(weights == 0, float("-inf")).amax(1)
    if pooling == "weightedmean":
        places = torch.arange(1, states.shape[1] + 1, device=states.device, dtype=states.dtype)
        weights = weights * places[:, None]
        return (states * weights).sum(1) / weights.sum(1)
    total = (states * weights).sum(1)
    return total / (lengths.sqrt() if pooling == "mean_sqrt_len_tokens" else lengths)


def pooled_rows(states: torch.Tensor, lengths: Sequence[int], pooling: str) -> torch.Tensor:
    """Return one row for each pair of `states`, `[tokens, hidden]`, pair after pair."""
    padded = torch.nn.utils.rnn.pad_sequence(
        list(torch.split(states, list(lengths))), batch_first=True
    )
    places = torch.arange(padded.shape[1], device=states.device)
    limits = torch.tensor(lengths, device=states.device)
    return pooled_states(padded, (places < limits[:, None]).long(), pooling)


def head_of(recipe: Recipe, checkpoint: Checkpoint, device: str) -> Head:
    """Return what makes logits, or vectors, of pooled states in fp32.

    Raises:
        Refusal: the weights of a module are missing, or of another shape.
    """
    if not recipe.modules and not recipe.similarity:
        rows = checkpoint.read_tensor("score.weight").float().to(device)
        if len(rows) != len(recipe.label_weights):
            raise Refusal(f"{checkpoint.name} has {len(rows)} rows for {len(recipe.labels)} labels")
        return lambda pooled: functional.linear(pooled, rows) / recipe.temperature
    return steps_of(recipe.modules, checkpoint, device)


def steps_of(modules: Sequence[HeadModule], checkpoint: Checkpoint, device: str) -> Head:
    """Return what modules make of states in fp32, one after the other.

    Raises:
        Refusal: the weights of a module are missing, or of another shape.
    """
    steps = [_step(module, checkpoint, device) for module in modules]

    def head(states: torch.Tensor) -> torch.Tensor:
        for step in steps:
            states = step(states)
        return states

    return head


def _step(module: HeadModule, checkpoint: Checkpoint, device: str) -> Head:
    if module.kind == "Normalize":
        return lambda pooled: functional.normalize(pooled, dim=-1)
    tensors = {
        name: tensor.float().to(device)
        for name, tensor in read_module(checkpoint.folder / module.folder, _shapes(module)).items()
    }
    if module.kind == "LayerNorm":
        weight, bias = tensors["norm.weight"], tensors["norm.bias"]
        return lambda pooled: functional.layer_norm(
            pooled, weight.shape, weight, bias, _NORM_EPSILON
        )
    activation: Head = getattr(torch.nn, module.activation)()

    def dense(pooled: torch.Tensor) -> torch.Tensor:
        product = functional.linear(pooled, tensors["linear.weight"], tensors.get("linear.bias"))
        made = activation(product)
        if not module.has_residual:
            return made
        if "residual.weight" in tensors:
            return made + functional.linear(pooled, tensors["residual.weight"])
        return made + pooled

    return dense


def _shapes(module: HeadModule) -> dict[str, Sequence[int]]:
    if module.kind == "LayerNorm":
        return {name: [module.inputs] for name in ("norm.weight", "norm.bias")}
    shapes: dict[str, Sequence[int]] = {"linear.weight": [module.outputs, module.inputs]}
    if module.has_bias:
        shapes["linear.bias"] = [module.outputs]
    if module.has_residual and module.inputs != module.outputs:
        shapes["residual.weight"] = [module.outputs, module.inputs]
    return shapes


class PooledBody:
    """A body of transformers, its pooling and its head; see `CrossEncoder`."""

    def __init__(self, body: Any, pooling: str, head: Head) -> None:
        self._body = body
        self._pooling = pooling
        self._head = head
        self._pad_id = getattr(body.config, "pad_token_id", None) or 0
        self._has_types = getattr(body.config, "type_vocab_size", 0) > 1

    @torch.inference_mode()
    def logits(self, batch: Batch) -> torch.Tensor:
        """See `CrossEncoder`."""
        inputs = padded_inputs(batch, pad_id=self._pad_id, types=self._has_types)
        device = str(self._body.device)
        on_device = {name: moved(tensor, device) for name, tensor in inputs.items()}
        mask = on_device["attention_mask"]
        states = self._body(**on_device).last_hidden_state.float()
        return self._head(pooled_states(states, mask, self._pooling))


class HeadedBody:
    """A body with a head of its own, under the names that transformers' classes with heads use.

    Attributes:
        base_model, config: the body and its configuration.
        pooling: the pooling of states.
        head, classifier: what follows pooled states.
    """

    def __init__(self, body: Any, pooling: str, head: Head) -> None:
        self.base_model = body
        self.config = body.config
        self.pooling = pooling
        self._logits = head
        if getattr(body, "pooler", None) is not None:
            body.pooler = None  # pooling is the module's
        self.config.classifier_pooling = "mean" if pooling == "mean" else "cls"
        self.head = torch.nn.Identity()

    @property
    def device(self) -> torch.device:
        """The device of the body."""
        device: torch.device = self.base_model.device
        return device

    def classifier(self, states: torch.Tensor) -> torch.Tensor:
        """Return logits of pooled states, or of sequences of one state each."""
        return self._logits(states[:, 0] if states.dim() == 3 else states)

    def padded(self) -> PooledBody:
        """Return the same on padded batches."""
        return PooledBody(self.base_model, self.pooling, self._logits)
