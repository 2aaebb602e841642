"""Qwen's tokenizer, read from its file alone: the import of transformers takes over a second.

transformers builds its `Qwen2Tokenizer` from the vocabulary and the merges of tokenizer.json with
parts of its own. Where the file names the same parts, and tokenizer_config.json changes none of
them, the file alone gives the ids of transformers. All other tokenizers are left to transformers.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers

_CLASSES = ("Qwen2Tokenizer", "Qwen2TokenizerFast")
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_MODEL = {
    "dropout": None,
    "unk_token": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "fuse_unk": False,
    "byte_fallback": False,
    "ignore_merges": False,
}
_USUAL = "<|endoftext|>"
_NAMES = {  # tokens that have a name, and their defaults in transformers
    **dict.fromkeys(("eos_token", "unk_token", "pad_token"), _USUAL),
    **dict.fromkeys(("bos_token", "sep_token", "cls_token", "mask_token")),
}
_MORE_NAMES = ("additional_special_tokens", "extra_special_tokens")
_OFF = ("add_bos_token", "add_eos_token", "add_prefix_space", "split_special_tokens")
_NO_MATTER = (
    *("tokenizer_class", "model_max_length", "padding_side", "truncation_side", "chat_template"),
    *("clean_up_tokenization_spaces", "errors", "added_tokens_decoder", "backend", "is_local"),
)


def read_plain(folder: Path) -> tuple[Tokenizer, int | None] | None:
    """Return the tokenizer of a folder and the most tokens it allows; `None` if it is not plain."""
    try:
        config = json.loads((folder / "tokenizer_config.json").read_bytes())
        if config.get("tokenizer_class") not in _CLASSES or _beside(folder):
            return None
        backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
        is_plain = _has_the_parts(backend) and _changes_nothing(config, backend)
    except Exception:  # a broken file makes json and tokenizers raise anything
        return None  # transformers reads the file next, and reports what is wrong with it
    return (backend, config.get("model_max_length")) if is_plain else None


def _beside(folder: Path) -> bool:
    """Return whether the folder has files of older formats, which may add tokens."""
    return any(
        (folder / f"{name}.json").exists() for name in ("added_tokens", "special_tokens_map")
    )


def _has_the_parts(backend: Tokenizer) -> bool:
    parts = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    model = backend.model
    return (
        type(model).__name__ == "BPE"
        and all(
            (getattr(model, name) or None) == (wanted or None) for name, wanted in _MODEL.items()
        )
        and _state(backend.normalizer) == _state(normalizers.NFC())
        and _state(backend.pre_tokenizer) == _state(parts)
    )


def _state(part: Any) -> Any:
    """Return the settings of a part; `trim_offsets` is left out: only post-processors use it."""
    if part is None:
        return None
    state = part.__getstate__()
    return json.loads(state, object_hook=lambda settings: {**settings, "trim_offsets": None})


def _changes_nothing(config: Mapping[str, Any], backend: Tokenizer) -> bool:
    """Return whether tokenizer_config.json declares the same tokens as tokenizer.json."""
    added = {id: _facts(token) for id, token in backend.get_added_tokens_decoder().items()}
    declared = {
        int(id): _facts(token) for id, token in config.get("added_tokens_decoder", {}).items()
    }
    special = {about["content"] for about in added.values() if about["special"]}
    named = [config.get(name, usual) for name, usual in _NAMES.items()]
    named += [name for key in _MORE_NAMES for name in config.get(key) or ()]
    return (
        set(config) <= {*_NAMES, *_MORE_NAMES, *_OFF, *_NO_MATTER}
        and not any(config.get(name) for name in _OFF)
        and all(added.get(id) == about for id, about in declared.items())
        and all(_content(name) in special for name in named if name is not None)
    )


def _facts(token: Any) -> dict[str, Any]:
    read = token.get if isinstance(token, dict) else lambda name: getattr(token, name)
    return {
        name: read(name)
        for name in ("content", "single_word", "lstrip", "rstrip", "normalized", "special")
    }


def _content(name: Any) -> str:
    return str(name["content"] if isinstance(name, dict) else name)
