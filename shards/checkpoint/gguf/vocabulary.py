"""A GGUF file's vocabulary as tokenizer.json and tokenizer_config.json.

GGUF keeps the texts, types and scores of tokens, the merges, and the *name* of a way to split text;
what the name means is in llama.cpp. So only kinds are read whose meaning is known here, and any
other tokenizer is taken from a tokenizer.json beside the file.
Source: llama.cpp (`conversion/base.py`, `src/llama-vocab.cpp`).
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from shards.checkpoint.gguf.families import Gguf
from shards.prompts import KNOWN

Files = dict[str, dict[str, Any]]

_UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED = 2, 3, 4, 5
_BESIDE = "put the tokenizer.json and tokenizer_config.json of the model beside the file"
_RERANK = "tokenizer.chat_template.rerank"
_QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def tokenizer_files(gguf: Gguf) -> Files:
    """Return the content of the tokenizer's files by their names.

    Raises:
        Refusal: the tokenizer is of a kind that is not known, or its lists do not fit.
    """
    keys = gguf.head.keys
    model, split = keys.get("tokenizer.ggml.model"), keys.get("tokenizer.ggml.pre", "default")
    make = _KINDS.get((model, split))
    if make is None:
        raise gguf.refuse(
            f"its tokenizer is of the kind {model!r}, {split!r}, and "
            f"{', '.join(f'{one[0]} ({one[1]})' for one in _KINDS)} are known: {_BESIDE}"
        )
    tokens = gguf.head.list("tokenizer.ggml.tokens")
    types = gguf.head.list("tokenizer.ggml.token_type")
    if len(tokens) != gguf.rows("token_embd.weight") or len(types) != len(tokens):
        raise gguf.refuse(f"it has {len(tokens)} tokens and {len(types)} types of tokens")
    tokenizer, config = make(gguf, tokens, types)
    config["model_max_length"] = gguf.count("context_length")
    return {"tokenizer.json": tokenizer, "tokenizer_config.json": config}


def _added(tokens: list[str], types: list[int]) -> Iterator[dict[str, Any]]:
    """Yield the tokens that are matched in text before it is split."""
    for id, (token, kind) in enumerate(zip(tokens, types, strict=True)):
        if kind in (_CONTROL, _USER_DEFINED, _UNKNOWN):
            yield {
                "id": id,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": kind != _USER_DEFINED,
            }


def _named(gguf: Gguf, tokens: list[str], names: Mapping[str, str]) -> dict[str, str]:
    """Return the special tokens that keys name, by transformers' names for them."""
    found = {}
    for name, key in names.items():
        id = gguf.head.keys.get(f"tokenizer.ggml.{key}_token_id")
        if id is not None:
            if type(id) is not int or not 0 <= id < len(tokens):
                raise gguf.refuse(f"tokenizer.ggml.{key}_token_id is {id!r}, no token of it")
            found[f"{name}_token"] = tokens[id]
    return found


# -- Qwen's byte-level BPE -------------------------------------------------------------------------


def _qwen2(
    gguf: Gguf, tokens: list[str], types: list[int]
) -> tuple[dict[str, Any], dict[str, Any]]:
    for key in ("add_bos_token", "add_eos_token", "add_space_prefix"):
        if gguf.head.keys.get(f"tokenizer.ggml.{key}"):
            raise gguf.refuse(f"tokenizer.ggml.{key} is true, false is expected: {_BESIDE}")
    added = list(_added(tokens, types))
    apart = {token["id"] for token in added}
    merges = [merge.split(" ") for merge in gguf.head.list("tokenizer.ggml.merges")]
    if not merges or not all(len(merge) == 2 for merge in merges):
        raise gguf.refuse(f"tokenizer.ggml.merges are not pairs of tokens: {_BESIDE}")
    vocabulary = {
        token: id for id, token in enumerate(tokens) if id not in apart and types[id] != _UNUSED
    }
    if lost := next((one for one in merges if "".join(one) not in vocabulary), None):
        raise gguf.refuse(f"its merge {' '.join(lost)!r} makes no token: {_BESIDE}")
    split = {
        "type": "Split",
        "pattern": {"Regex": _QWEN2_SPLIT},
        "behavior": "Isolated",
        "invert": False,
    }
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False}
    level["use_regex"] = False
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, level]},
        "post_processor": level,
        "decoder": level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocabulary,
            "merges": merges,
        },
    }
    config: dict[str, Any] = {
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
        "bos_token": None,
        **_named(gguf, tokens, {"eos": "eos", "pad": "padding"}),
    }
    if template := _template(gguf):
        config["chat_template"] = template
    return tokenizer, config


def _template(gguf: Gguf) -> str:
    """Return the chat template for pairs, or else the usual one; empty without one."""
    keys = gguf.head.keys
    text = keys.get(_RERANK)
    if not isinstance(text, str):
        usual = keys.get("tokenizer.chat_template", "")
        return usual if isinstance(usual, str) else ""
    ours = (known.prompt.text("{query}", "{document}") for known in KNOWN.values())
    return text if text in ours else _in_jinja(text)


def _in_jinja(text: str) -> str:
    """Return a text with places for query and document as a chat template."""
    pieces = (
        f"{{% for m in messages if m.role == '{piece}' %}}{{{{ m.content }}}}{{% endfor %}}"
        if at % 2
        else f"{{{{ {json.dumps(piece)} }}}}"
        for at, piece in enumerate(_pieces(text))
        if piece
    )
    return "".join(pieces)


def _pieces(text: str) -> Iterator[str]:
    """Yield text and the name of a place in turn."""
    before, asked, rest = text.partition("{query}")
    middle, document, after = rest.partition("{document}")
    yield before
    if asked:
        yield "query"
        yield middle
    if document:
        yield "document"
        yield after


# -- XLM-RoBERTa's pieces --------------------------------------------------------------------------

_FRAME = ("<s>", "<pad>", "</s>", "<unk>")


def _pieces_of_xlm_r(
    gguf: Gguf, tokens: list[str], types: list[int]
) -> tuple[dict[str, Any], dict[str, Any]]:
    scores = gguf.head.list("tokenizer.ggml.scores")
    if len(scores) != len(tokens) or tuple(tokens[:4]) != _FRAME:
        raise gguf.refuse(f"its tokens are not those of an XLM-RoBERTa: {_BESIDE}")
    if not gguf.head.keys.get("tokenizer.ggml.add_space_prefix", True):
        raise gguf.refuse(f"tokenizer.ggml.add_space_prefix is false: {_BESIDE}")
    # Rows without a token come last. As pieces, their scores would make unknown letters dearer.
    end = max(id for id, kind in enumerate(types) if kind != _UNUSED) + 1
    charsmap = bytes(gguf.head.list("tokenizer.ggml.precompiled_charsmap"))
    space = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    start, stop = ({"SpecialToken": {"id": token, "type_id": 0}} for token in ("<s>", "</s>"))
    first, second = ({"Sequence": {"id": side, "type_id": 0}} for side in "AB")
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": list(_added(tokens[:end], types[:end])),
        "normalizer": {
            "type": "Precompiled",
            "precompiled_charsmap": base64.b64encode(charsmap).decode(),
        }
        if charsmap
        else None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "WhitespaceSplit"}, space],
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [start, first, stop],
            "pair": [start, first, stop, stop, second, stop],
            "special_tokens": {
                token: {"id": token, "ids": [tokens.index(token)], "tokens": [token]}
                for token in ("<s>", "</s>")
            },
        },
        "decoder": space,
        "model": {
            "type": "Unigram",
            "unk_id": 3,
            "vocab": [[*pair] for pair in zip(tokens[:end], scores[:end], strict=True)],
            "byte_fallback": False,
        },
    }
    names = dict(zip(("bos", "pad", "eos", "unk"), _FRAME, strict=True))
    config: dict[str, Any] = {f"{name}_token": token for name, token in names.items()}
    config |= {"cls_token": "<s>", "sep_token": "</s>"}
    config |= {"tokenizer_class": "PreTrainedTokenizerFast"}
    config |= {"model_input_names": ["input_ids", "attention_mask"]}
    return tokenizer, config


Make = Callable[[Gguf, list[str], list[int]], tuple[dict[str, Any], dict[str, Any]]]

_KINDS: Mapping[tuple[Any, Any], Make] = {
    ("gpt2", "qwen2"): _qwen2,
    ("t5", "default"): _pieces_of_xlm_r,
}
"""The tokenizers that are known, by `tokenizer.ggml.model` and `tokenizer.ggml.pre`."""
