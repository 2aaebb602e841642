"""A tokenizer that is its tokenizer.json alone, without the import of transformers.

transformers' `PreTrainedTokenizerFast` takes a tokenizer.json as it is. Where all that
tokenizer_config.json adds are names of special tokens that the file has, the file gives the ids of
transformers. All other tokenizers are left to transformers.
"""

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

_CLASS = "PreTrainedTokenizerFast"
_NAMES = frozenset(f"{name}_token" for name in ("bos", "eos", "cls", "sep", "pad", "unk", "mask"))
_NO_MATTER = frozenset({"tokenizer_class", "model_max_length", "model_input_names"})
_BESIDE = ("added_tokens.json", "special_tokens_map.json", "chat_template.jinja")


def read_file_alone(folder: Path) -> tuple[Tokenizer, Any, bool] | None:
    """Return a tokenizer, its `model_max_length`, and whether its models take token types.

    `None` if it is not one that the file determines.
    """
    try:
        config = json.loads((folder / "tokenizer_config.json").read_bytes())
        names = config.get("model_input_names")
        if config.get("tokenizer_class") != _CLASS or not isinstance(names, list):
            return None
        if set(config) - _NAMES - _NO_MATTER or any((folder / name).exists() for name in _BESIDE):
            return None
        backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
        added = backend.get_added_tokens_decoder().values()
    except Exception:  # a broken file makes json and tokenizers raise anything
        return None  # transformers reads the file next, and reports what is wrong with it
    special = {token.content for token in added if token.special}
    if any(config[name] not in special for name in _NAMES & set(config)):
        return None
    return backend, config.get("model_max_length"), "token_type_ids" in names
