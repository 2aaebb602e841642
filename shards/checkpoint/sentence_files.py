"""The files of sentence-transformers in a checkpoint.

`modules.json` lists modules, each with a folder of its own; the first module, a Transformer, is at
the root and has `sentence_bert_config.json`. `config_sentence_transformers.json` has prompts. Like
sentence-transformers, this module reads these files only beside a `modules.json`, and the modules
only where the checkpoint calls itself a CrossEncoder.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from shards.checkpoint.bounded import json_in, read_json
from shards.checkpoint.expect import File
from shards.checkpoint.sentence_modules import read_head, read_pooled
from shards.prompts import Answers
from shards.recipe import HeadModule
from shards.refusal import Refusal

MODULES = "modules.json"
SETTINGS = "config_sentence_transformers.json"
TRANSFORMER = "sentence_bert_config.json"
_OLD_TRANSFORMERS = tuple(
    f"sentence_{name}_config.json"
    for name in ("roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)

_OURS, PYLATE = "sentence_transformers.", "pylate."
_MOST_MODULES = 64
_WITHOUT_FILES = ("Normalize", "Dropout")
SETTINGS_KEYS = frozenset(
    {
        *("__version__", "activation_fn", "default_prompt_name", "model_type", "prompts"),
        *("similarity_fn_name", "keep_in_fp32_modules", "requirements"),  # no matter for margins
    }
)
_TRANSFORMER_KEYS = frozenset(
    {
        *("transformer_task", "modality_config", "module_output_name", "processing_kwargs"),
        *("max_seq_length", "do_lower_case"),
        # for other kinds of models, and for the forming of batches
        *("unpad_inputs", "query_length", "document_length", "query_expansion"),
    }
)
_ARGUMENTS = (
    *("model_args", "model_kwargs", "tokenizer_args", "processor_kwargs", "config_args"),
    "config_kwargs",
)
_TASKS = ("sequence-classification", "text-generation", "feature-extraction")
_BATCHING = frozenset({"padding", "padding_side", "pad_to_multiple_of", "return_tensors"})
_SPECIAL = frozenset(  # arguments of apply_chat_template for other purposes than scoring
    {
        *("chat_template", "tools", "documents", "continue_final_message", "tokenize"),
        *("return_dict", "return_assistant_tokens_mask", "processor_kwargs", "tokenizer_kwargs"),
        "messages",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceFiles:
    """The content of these files.

    Attributes:
        task: the task of the Transformer: one of `sequence-classification`, `text-generation`,
            `feature-extraction`; empty where no file sets it.
        message_format: `flat`, `structured` or `auto` where pairs are messages; empty where they
            are pairs of texts; `None` where no file sets it.
        chat_settings: variables for the chat template.
        most_tokens: the limit that the files set; `None` for no limit.
        answers: the answers of a LogitScore module.
        pooling: the pooling of a Pooling module; empty for none.
        modules: the modules after the pooling.
        default_prompt: the default prompt; empty for none.
        activation: the path of the activation; empty where no file sets it.
    """

    task: str = ""
    message_format: str | None = None
    chat_settings: Mapping[str, Any] = field(default_factory=dict)
    most_tokens: int | None = None
    answers: Answers | None = None
    pooling: str = ""
    modules: tuple[HeadModule, ...] = ()
    default_prompt: str = ""
    activation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderFiles:
    """The content of these files in a bi-encoder.

    Attributes:
        pooling: the pooling of tokens.
        modules: the modules after the pooling.
        prompts: the prompts by name.
        default_prompt: the default prompt; empty for none.
        similarity: the similarity of two vectors, `cosine` where no file sets it.
        most_tokens: the limit of a text that the files set; `None` for no limit.
    """

    pooling: str
    modules: tuple[HeadModule, ...]
    prompts: Mapping[str, str]
    default_prompt: str
    similarity: str
    most_tokens: int | None


def module_folders(folder: Path) -> list[str]:
    """Return the folders of modules with files, as paths in the checkpoint's folder."""
    return [
        path for kind, path in listed_modules(folder, PYLATE) if path and kind not in _WITHOUT_FILES
    ]


def read_sentence_files(folder: Path, name: str) -> SentenceFiles:
    """Read the files of sentence-transformers in a checkpoint.

    Args:
        name: the name of the checkpoint, for messages.

    Raises:
        Refusal: a file is broken, or asks for a feature that is not served; the checkpoint is an
            embedder.
    """
    if not (folder / MODULES).is_file():
        return _without_modules(folder)
    listed = listed_modules(folder)
    settings = file_of(folder, SETTINGS)
    _refuse_embedders(listed, settings, name)
    if settings.text("model_type") != "CrossEncoder":
        return _without_modules(folder)
    settings.expect_keys(SETTINGS_KEYS)
    (first, where), *others = listed
    if first != "Transformer" or where:
        raise Refusal(
            f"{folder / MODULES}: the first module is {first} in {where or 'the root'}, a "
            "Transformer in the root is expected: it is not served"
        )
    known = read_transformer(folder)
    return SentenceFiles(
        **known,
        **read_head(folder, others, known["task"]),
        default_prompt=read_default_prompt(settings),
        activation=settings.text("activation_fn"),
    )


def read_embedder_files(folder: Path, name: str) -> EmbedderFiles:
    """Read the files of sentence-transformers in a bi-encoder.

    Args:
        name: the name of the checkpoint, for messages.

    Raises:
        Refusal: a file is missing or broken, or asks for a feature that is not served.
    """
    listed = listed_modules(folder)
    settings = file_of(folder, SETTINGS)
    settings.expect_keys(SETTINGS_KEYS)
    if not listed:
        raise Refusal(
            f"{name} has no {MODULES}, which says how tokens are pooled to a vector: download the "
            "whole checkpoint"
        )
    (first, where), *others = listed
    if first != "Transformer" or where or not others:
        raise Refusal(
            f"{folder / MODULES}: a Transformer in the root and a Pooling are expected first, and "
            f"it lists {', '.join(f'{kind} in {path!r}' for kind, path in listed)}: not served"
        )
    known = read_transformer(folder)
    if known["task"] != "feature-extraction" or known["message_format"]:
        raise Refusal(f"{folder / TRANSFORMER}: {known['task']} of texts is no bi-encoder's task")
    pooling, modules = read_pooled(folder, others)
    prompts = settings.object("prompts")
    return EmbedderFiles(
        pooling=pooling,
        modules=modules,
        prompts={name: prompts.text(name) for name in prompts.content},
        default_prompt=read_default_prompt(settings),
        similarity=settings.text("similarity_fn_name") or "cosine",
        most_tokens=known["most_tokens"],
    )


def _without_modules(folder: Path) -> SentenceFiles:
    """Read no module, like sentence-transformers; refuse a prompt that it would leave out."""
    settings = file_of(folder, SETTINGS)
    if prompt := read_default_prompt(settings):
        raise Refusal(
            f"{settings.name} has the default prompt {prompt[:60]!r}, which is left out without "
            f"{MODULES} and the model_type CrossEncoder, so what is meant is not known: download "
            "the whole checkpoint again"
        )
    return SentenceFiles(activation=settings.text("activation_fn"))


def file_of(folder: Path, name: str) -> File:
    """Return a file of a checkpoint; an empty object if it is not there."""
    path = folder / name
    return File(str(path), read_json(path) if path.is_file() else {})


def listed_modules(folder: Path, own: str = _OURS) -> list[tuple[str, str]]:
    """Return the kind and the folder of each module, of sentence-transformers or of `own`."""
    path = folder / MODULES
    if not path.is_file():
        return []
    content = json_in(path)
    if not isinstance(content, list) or not 0 < len(content) <= _MOST_MODULES:
        raise Refusal(f"{path} is not a list of modules; download the checkpoint again")
    return [
        _module(File(f"{path}, module {at}", module), module, own)
        for at, module in enumerate(content)
    ]


def _module(file: File, content: Any, own: str) -> tuple[str, str]:
    if not isinstance(content, dict):
        raise Refusal(f"{file.name} is no object; download the checkpoint again")
    file.expect_keys(("idx", "name", "path", "type", "kwargs"))
    if file.content.get("kwargs"):
        raise file.refuse("kwargs", "none")
    kind, path = file.text("type"), file.text("path")
    if not kind.startswith((_OURS, own)):
        raise Refusal(
            f"{file.name} is a {kind or '(no type)'}, code of its own, which is never run: use a "
            "checkpoint of modules of sentence-transformers"
        )
    parts = PurePosixPath(path).parts
    if path.startswith(("/", "\\")) or ".." in parts or "\\" in path or len(parts) > 2:
        raise file.refuse("path", "a folder in the checkpoint's")
    return kind.rpartition(".")[2], path


def _refuse_embedders(listed: list[tuple[str, str]], settings: File, name: str) -> None:
    kinds = [kind for kind, _ in listed]
    model_type = settings.text("model_type")
    if model_type == "CrossEncoder":
        return
    if "Pooling" in kinds:
        raise Refusal(
            f"{name} is an embedder (modules.json pools tokens, and {SETTINGS} does not call it a "
            "CrossEncoder): use a reranker, for example Qwen/Qwen3-Reranker-0.6B, or rank by the "
            'similarity of its vectors with `scorer = "cosine"`'
        )
    if model_type:
        raise settings.refuse("model_type", "CrossEncoder")
    if len(kinds) > 1:
        raise Refusal(
            f"{settings.name}: model_type is missing, CrossEncoder is expected; without it "
            f"sentence-transformers leaves out the modules {', '.join(kinds[1:])}, so what is "
            "meant is not known: download the whole checkpoint again"
        )


def read_default_prompt(settings: File) -> str:
    """Return the default prompt of the settings; empty for none."""
    prompts, name = settings.object("prompts"), settings.text("default_prompt_name")
    if not name:
        return ""
    if name not in prompts.content:
        raise settings.refuse("default_prompt_name", "a name of `prompts`")
    return prompts.text(name)


# -- the Transformer -------------------------------------------------------------------------------


def read_transformer(folder: Path) -> dict[str, Any]:
    """Return the fields of `SentenceFiles` that the file of a Transformer sets."""
    names = (TRANSFORMER, *_OLD_TRANSFORMERS)
    there = next((name for name in names if (folder / name).is_file()), TRANSFORMER)
    file = file_of(folder, there)
    file.expect_keys((*_TRANSFORMER_KEYS, *_ARGUMENTS))
    for name in _ARGUMENTS:
        arguments = file.object(name)
        harmless = {"trust_remote_code", "dtype", "torch_dtype", "attn_implementation"}
        arguments.expect_keys(harmless if name.startswith("model") else {"trust_remote_code"})
    if file.flag("do_lower_case", usual=False):
        raise file.refuse("do_lower_case", "false")
    task = file.choice("transformer_task", _TASKS, "feature-extraction")
    chat, limit = _processing(file.object("processing_kwargs"))
    limits = [most for most in (file.count("max_seq_length"), limit) if most is not None]
    return {
        "task": task,
        "message_format": _message_format(file, task),
        "chat_settings": chat,
        "most_tokens": min(limits, default=None),
    }


_OUTPUTS = {
    "sequence-classification": ("logits", "scores"),
    "text-generation": ("logits", "causal_logits"),
    "feature-extraction": ("last_hidden_state", "token_embeddings"),
}


def _message_format(file: File, task: str) -> str:
    """Return the format of messages; empty where the model takes texts as they are."""
    method_output, output = _OUTPUTS[task]
    file.choice("module_output_name", (output,), output)
    modalities = file.object("modality_config")
    modalities.expect_keys(("text", "message"))
    for modality in modalities.content:
        about = modalities.object(modality)
        about.expect_keys(("method", "method_output_name", "format"))
        about.choice("method", ("forward",), "")
        about.choice("method_output_name", (method_output,), "")
    if modalities.content and not (modalities.content.keys() & {"text", "message"}):
        raise file.refuse("modality_config", "text or message")
    if "message" not in modalities:
        return ""
    return modalities.object("message").choice("format", ("flat", "structured", "auto"), "auto")


def _processing(file: File) -> tuple[dict[str, Any], int | None]:
    """Return variables for the chat template, and the limit that these settings contain."""
    file.expect_keys(("chat_template", "text", "common", "image", "audio", "video"))
    limits: list[int | None] = []
    for name in ("text", "common"):
        group = file.object(name)
        group.expect_keys({*_BATCHING, "max_length", "truncation", "logits_to_keep"})
        group.choice("padding_side", ("left",), "left")
        if group.content.get("truncation", True) not in (True, "longest_first"):
            raise group.refuse("truncation", "true")
        limits.append(group.count("max_length"))
    chat = file.object("chat_template")
    settings = dict(chat.content)
    if odd := sorted(settings.keys() & _SPECIAL):
        raise Refusal(f"{chat.name} has {', '.join(odd)}: it is not served")
    for name in _BATCHING:
        settings.pop(name, None)
    if not settings.pop("restore_suffix", True):
        raise chat.refuse("restore_suffix", "true")
    if settings.pop("truncation", True) not in (True, "longest_first"):
        raise chat.refuse("truncation", "true")
    limits.append(chat.count("max_length"))
    settings.pop("max_length", None)
    return settings, min((limit for limit in limits if limit is not None), default=None)
