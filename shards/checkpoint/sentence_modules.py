"""The modules of sentence-transformers after a Transformer, each with a folder of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shards.checkpoint.bounded import read_json
from shards.checkpoint.expect import File
from shards.prompts import Answers
from shards.recipe import HeadModule
from shards.refusal import Refusal

_POOLED = "sentence_embedding"
_POOLINGS = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
_OLD_POOLINGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
ACTIVATIONS = {
    f"torch.nn.modules.{where}.{name}": name
    for where, names in {
        "linear": ("Identity",),
        "activation": (
            *("Tanh", "GELU", "ReLU", "SiLU", "Sigmoid", "Mish", "ELU", "SELU", "LeakyReLU"),
            *("Softplus", "Softsign", "Hardtanh", "ReLU6", "CELU", "LogSigmoid"),
        ),
    }.items()
    for name in names
}
"""The known activations of modules, by the path under which they are saved."""


def _file(folder: Path) -> File:
    path = folder / "config.json"
    return File(str(path), read_json(path) if path.is_file() else {})


def read_head(folder: Path, listed: list[tuple[str, str]], task: str) -> dict[str, Any]:
    """Return `answers`, or `pooling` and `modules`, or nothing, of the modules after the first.

    Args:
        listed: the kinds and folders of these modules.
        task: the task of the first module.

    Raises:
        Refusal: the modules are not known in this row, or their files are broken.
    """
    kinds = [kind for kind, _ in listed]
    if kinds == ["LogitScore"] and task == "text-generation":
        return {"answers": _logit_score(_file(folder / listed[0][1]))}
    if not kinds and task != "feature-extraction":
        return {}
    if kinds[:1] == ["Pooling"] and task == "feature-extraction":
        modules = tuple(_modules(folder, listed[1:]))
        if modules and modules[-1].outputs:
            pooling = _pooling(_file(folder / listed[0][1]))
            return {"pooling": pooling, "modules": modules}
    raise Refusal(
        f"{folder}/modules.json lists {', '.join(['Transformer', *kinds])} for the task "
        f"{task or '(none)'}: such a row of modules is not known; LogitScore alone, or Pooling and "
        "modules up to a Dense for `scores`, can be served"
    )


def read_pooled(folder: Path, listed: list[tuple[str, str]]) -> tuple[str, tuple[HeadModule, ...]]:
    """Return the pooling of a bi-encoder, and the modules after it.

    Args:
        listed: the kinds and folders of the modules after the first.

    Raises:
        Refusal: the modules are not known in this row, or their files are broken.
    """
    kinds = [kind for kind, _ in listed]
    if kinds[:1] != ["Pooling"]:
        raise Refusal(
            f"{folder}/modules.json lists {', '.join(['Transformer', *kinds])}: a Pooling is "
            "expected after the Transformer: it cannot be served faithfully"
        )
    modules = tuple(_modules(folder, listed[1:], has_scores=False))
    return _pooling(_file(folder / listed[0][1])), modules


def read_projections(folder: Path, listed: list[tuple[str, str]]) -> tuple[HeadModule, ...]:
    """Return the Dense modules of a late-interaction model, which project each token."""
    return tuple(_dense(_file(folder / path), path, is_last=False) for _, path in listed)


def _logit_score(file: File) -> Answers:
    file.expect_keys(("true_token_id", "false_token_id", "module_input_name"))
    file.choice("module_input_name", ("causal_logits",), "causal_logits")
    true = file.count("true_token_id", least=0)
    if true is None:
        raise file.refuse("true_token_id", "the id of a token")
    return Answers(true=true, false=file.count("false_token_id", least=0))


def _pooling(file: File) -> str:
    sizes = ("embedding_dimension", "word_embedding_dimension")
    file.expect_keys((*sizes, "pooling_mode", "include_prompt", *_OLD_POOLINGS))
    for name in sizes:
        file.count(name)
    if not file.flag("include_prompt", usual=True):
        raise file.refuse("include_prompt", "true")
    mode = file.content.get("pooling_mode")
    if mode is None:
        old = [name for key, name in _OLD_POOLINGS.items() if file.flag(key, usual=False)]
        mode = old or "mean"
    modes = [mode] if isinstance(mode, str) else mode
    if not isinstance(modes, list) or len(modes) != 1 or modes[0] not in _POOLINGS:
        raise file.refuse("pooling_mode", f"one of {', '.join(_POOLINGS)}")
    return str(modes[0])


def _modules(
    folder: Path, listed: list[tuple[str, str]], *, has_scores: bool = True
) -> Iterator[HeadModule]:
    """Yield modules on pooled states; if `has_scores`, the last one is a Dense for `scores`."""
    for at, (kind, path) in enumerate(listed):
        file = _file(folder / path)
        is_last = has_scores and at == len(listed) - 1
        if kind == "Dense":
            yield _dense(file, path, is_last)
        elif kind == "LayerNorm" and not is_last:
            file.expect_keys(("dimension",))
            size = file.count("dimension") or 0
            yield HeadModule(kind=kind, folder=path, inputs=size, outputs=size)
        elif kind == "Normalize" and not is_last:
            for key in file.content:
                file.choice(key, (_POOLED,), _POOLED)
            yield HeadModule(kind=kind)
        elif kind != "Dropout" or is_last:  # which does nothing when scoring
            raise Refusal(
                f"{folder}/modules.json lists the module {kind} at place {at + 2}, which is not "
                "known there: it cannot be served faithfully"
            )


def _dense(file: File, path: str, is_last: bool) -> HeadModule:
    file.expect_keys(
        (
            *("in_features", "out_features", "bias", "activation_function", "use_residual"),
            *("module_input_name", "module_output_name"),
        )
    )
    read_from = file.choice("module_input_name", (_POOLED,), _POOLED)
    file.choice("module_output_name", ("scores",) if is_last else (_POOLED,), read_from)
    activation = file.text("activation_function", "torch.nn.modules.activation.Tanh")
    if "activation_function" in file.content and "activation_function" not in file:
        activation = "torch.nn.modules.linear.Identity"
    if activation not in ACTIVATIONS:
        raise file.refuse("activation_function", "an activation of torch.nn without settings")
    inputs, outputs = file.count("in_features"), file.count("out_features")
    if inputs is None or outputs is None:
        raise Refusal(f"{file.name} lacks in_features or out_features")
    return HeadModule(
        kind="Dense",
        folder=path,
        inputs=inputs,
        outputs=outputs,
        has_bias=file.flag("bias", usual=True),
        activation=ACTIVATIONS[activation],
        has_residual=file.flag("use_residual", usual=False),
    )
