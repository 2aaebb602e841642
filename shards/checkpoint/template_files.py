"""The chat template of a folder, and the special tokens that it may name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shards.checkpoint.bounded import read_json, read_text
from shards.checkpoint.chat_template import LONGEST_TEMPLATE, ChatTemplate
from shards.checkpoint.expect import File
from shards.refusal import Refusal

_FILE = "chat_template.jinja"
_TOKENIZER = "tokenizer_config.json"
_TOKENS = (
    *("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"),
    "additional_special_tokens",
)
# The signs by which sentence-transformers finds that a template takes contents as lists of parts.
_STRUCTURED = ("content[0]", ".type", "'type'", '"type"', "item.type", "message.content[")
_FLAT = ("apertus", "deepseek_v3", "gpt_oss", "seed_oss")


def read_template(
    folder: Path, model_type: str, message_format: str, settings: Mapping[str, Any]
) -> ChatTemplate | None:
    """Return the chat template of a folder; `None` if it has none.

    Args:
        message_format: `flat`, `structured` or `auto`.
        settings: the variables that files set.
    """
    config = _tokenizer_config(folder)
    text, origin = _text(folder, config)
    if not text:
        return None
    if len(text) > LONGEST_TEMPLATE:
        raise Refusal(f"{origin} has a chat template of {len(text)} characters, over the limit")
    is_structured = message_format == "structured" or (
        message_format != "flat"
        and model_type not in _FLAT
        and any(pattern in text for pattern in _STRUCTURED)
    )
    return ChatTemplate(text, origin, is_structured, settings, _special_tokens(config))


def _tokenizer_config(folder: Path) -> File:
    path = folder / _TOKENIZER
    return File(str(path), read_json(path) if path.is_file() else {})


def _text(folder: Path, config: File) -> tuple[str, str]:
    """Return the template and the name of its file."""
    if (folder / _FILE).is_file():
        return read_text(folder / _FILE), str(folder / _FILE)
    value = config.content.get("chat_template")
    if isinstance(value, list):
        return _default_of(value, config), config.name
    return config.text("chat_template"), config.name


def _default_of(templates: list[Any], config: File) -> str:
    """Return the template called `default`, which is used where none is named."""
    for named in templates:
        if not isinstance(named, dict) or not all(isinstance(part, str) for part in named.values()):
            raise config.refuse("chat_template", "a text, or named texts")
        if named.get("name") == "default":
            return str(named.get("template", ""))
    return ""


def _special_tokens(config: File) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in _TOKENS:
        value = config.content.get(name)
        token = value.get("content") if isinstance(value, dict) else value
        if isinstance(token, str | list):
            found[name] = token
    return found
