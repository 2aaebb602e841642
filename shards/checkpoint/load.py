"""The transformers model of a checkpoint, with no tensor initialised at random.

transformers fills tensors that a checkpoint lacks with random numbers and only logs a line; the
scores then look like scores. Here every such tensor ends in a refusal with its name.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from shards.checkpoint.folder import Checkpoint
from shards.checkpoint.quantised import NOTHING
from shards.refusal import Refusal, Report
from shards.wire.exit_codes import ExitCode

if TYPE_CHECKING:
    import torch

_SHOWN = 5


def load_model(
    auto_class: Any,  # one of transformers' Auto classes, which carry no types
    checkpoint: Checkpoint,
    *,
    vocabulary_size: int,
    dtype: "torch.dtype",
    device: str,
    report: Report,
    may_lack: str = "",
) -> tuple[Any, tuple[str, ...]]:
    """Load a checkpoint with plain transformers classes, in `dtype`, ready to score.

    Args:
        vocabulary_size: the number of tokens in the tokenizer.
        may_lack: the start of the names of tensors that are not used, and may be missing.

    Returns:
        The model in evaluation mode, and warnings.

    Raises:
        Refusal: a tensor is missing or has another shape; the tokenizer has tokens that the
            model lacks; the memory does not suffice.
    """
    size = sum(path.stat().st_size for path in checkpoint.files)
    report(f"loading weights, {size / 1e6:.0f} MB")
    load = _from_pretrained if checkpoint.quantised is NOTHING else _from_parts
    model, warnings = _checked(load(auto_class, checkpoint, dtype), checkpoint, may_lack)
    rows = model.get_input_embeddings().weight.shape[0]
    if vocabulary_size > rows:
        raise Refusal(
            f"{checkpoint.name}: the tokenizer has {vocabulary_size} tokens, the model {rows}; "
            "they do not belong together"
        )
    return _moved(model, device, checkpoint), warnings


def load_state(
    model_class: Any,  # a class of transformers, or one like them
    config: Any,
    tensors: Mapping[str, "torch.Tensor"],
    checkpoint: Checkpoint,
    *,
    dtype: "torch.dtype",
    device: str,
) -> tuple[Any, tuple[str, ...]]:
    """Build a model from tensors that have the names of its class; see `load_model`."""
    built = _built(model_class, config, tensors, checkpoint, dtype)
    model, warnings = _checked(built, checkpoint)
    return _moved(model, device, checkpoint), warnings


def _checked(
    built: tuple[Any, Mapping[str, Any]], checkpoint: Checkpoint, may_lack: str = ""
) -> tuple[Any, tuple[str, ...]]:
    """Return a model that is ready to score, and warnings; refuse one with random tensors."""
    model, info = built
    missing = [
        name for name in info["missing_keys"] if not (may_lack and name.startswith(may_lack))
    ]
    _refuse_missing(checkpoint, missing)
    _refuse_mismatched(checkpoint, info["mismatched_keys"])
    return model.eval().requires_grad_(False), _unused(info["unexpected_keys"])


def _from_parts(auto_class: Any, checkpoint: Checkpoint, dtype: "torch.dtype") -> Any:
    """Build a model from tensors that transformers cannot read itself."""
    from transformers import AutoConfig
    from transformers.initialization import no_init_weights

    _be_silent()
    try:
        config = AutoConfig.from_pretrained(checkpoint.folder, local_files_only=True)
        with no_init_weights():
            model = auto_class._model_mapping[type(config)](config).to(dtype)
    except Exception as error:  # a broken checkpoint makes transformers raise anything
        raise _not_loaded(checkpoint, error) from error
    return model, _filled(model, checkpoint)


def _filled(model: Any, checkpoint: Checkpoint) -> dict[str, list[Any]]:
    """Put tensors into a model one by one, so that no second copy of all lies in memory."""
    left = dict(model.named_parameters())
    unexpected, mismatched = [], []
    read = checkpoint.reader()
    for name in checkpoint.tensors:
        tensor, parameter = read(name), left.pop(name, None)
        if parameter is None:
            unexpected.append(name)
        elif tensor.shape != parameter.shape:
            mismatched.append((name, tensor.shape, parameter.shape))
        else:
            parameter.data = tensor.to(parameter.dtype)
    return {
        "missing_keys": list(left),
        "unexpected_keys": unexpected,
        "mismatched_keys": mismatched,
    }


def _built(
    model_class: Any,
    config: Any,
    tensors: Mapping[str, "torch.Tensor"],
    checkpoint: Checkpoint,
    dtype: "torch.dtype",
) -> Any:
    _be_silent()
    try:
        return model_class.from_pretrained(
            None,
            config=config,
            state_dict=dict(tensors),
            dtype=dtype,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    except Exception as error:  # a broken checkpoint makes transformers raise anything
        raise _not_loaded(checkpoint, error) from error


def _be_silent() -> None:
    """Have transformers log nothing: stderr is the log; all that matters is reported or refused."""
    from transformers.utils import logging

    # transformers has no types here.
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]


def _from_pretrained(auto_class: Any, checkpoint: Checkpoint, dtype: "torch.dtype") -> Any:
    _be_silent()
    try:
        return auto_class.from_pretrained(
            checkpoint.folder,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # to name them all; see _refuse_mismatched
        )
    except Exception as error:  # a broken checkpoint makes transformers raise anything
        raise _not_loaded(checkpoint, error) from error


def _not_loaded(checkpoint: Checkpoint, error: Exception) -> Refusal:
    reason = str(error).strip().split("\n")[0]
    return Refusal(f"transformers cannot load {checkpoint.name}: {type(error).__name__}: {reason}")


def _unused(names: Iterable[str]) -> tuple[str, ...]:
    unexpected = sorted(names)
    return (f"tensors not used: {_names(unexpected)}",) if unexpected else ()


def _refuse_missing(checkpoint: Checkpoint, missing: Iterable[str]) -> None:
    if names := sorted(missing):
        raise Refusal(
            f"{checkpoint.name} lacks {len(names)} tensors of a {checkpoint.architecture}, which "
            f"would be random: {_names(names)}; use a checkpoint that was saved as a reranker"
        )


def _refuse_mismatched(
    checkpoint: Checkpoint, mismatched: Iterable[tuple[str, Iterable[int], Iterable[int]]]
) -> None:
    found = [
        f"{name} is {list(stored)}, its config says {list(expected)}"
        for name, stored, expected in sorted(mismatched)
    ]
    if found:
        raise Refusal(f"{checkpoint.name} contradicts its own config.json: {_names(found)}")


def _names(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _moved(model: Any, device: str, checkpoint: Checkpoint) -> Any:
    import torch

    try:
        return model.to(device)
    except torch.OutOfMemoryError as error:
        raise Refusal(
            f"{checkpoint.name} does not fit into the free memory of {device}: {error}",
            ExitCode.TEMPORARY,
        ) from error
