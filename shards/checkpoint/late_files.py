"""The files of PyLate in a checkpoint: those of sentence-transformers, with settings of its own."""

from pathlib import Path

from shards.checkpoint.bounded import json_in
from shards.checkpoint.expect import File
from shards.checkpoint.sentence_files import (
    MODULES,
    PYLATE,
    SETTINGS,
    SETTINGS_KEYS,
    TRANSFORMER,
    file_of,
    listed_modules,
    read_default_prompt,
    read_transformer,
)
from shards.checkpoint.sentence_modules import read_projections
from shards.recipe import HeadModule
from shards.refusal import Refusal

_KEYS = (
    *("query_prefix", "document_prefix", "query_length", "document_length", "skiplist_words"),
    *("attend_to_expansion_tokens", "do_query_expansion"),
)
"""The settings that PyLate adds."""


def is_late_interaction(folder: Path) -> bool:
    """Return whether the files are those of PyLate, of any version."""
    settings = file_of(folder, SETTINGS)
    kinds = json_in(folder / MODULES) if (folder / MODULES).is_file() else []
    is_named = settings.content.get("model_type") == "ColBERT"
    return is_named or (isinstance(kinds, list) and PYLATE in str(kinds))


def read_late_files(folder: Path, name: str) -> tuple[File, tuple[HeadModule, ...], int | None]:
    """Return the settings of PyLate's files, the modules on tokens, and the limit of a text.

    Args:
        name: the name of the checkpoint, for messages.

    Raises:
        Refusal: a file is missing or broken, or asks for a feature that is not served.
    """
    settings = file_of(folder, SETTINGS)
    settings.expect_keys((*SETTINGS_KEYS, *_KEYS))
    settings.choice("similarity_fn_name", ("MaxSim",), "MaxSim")
    if prompt := read_default_prompt(settings):
        raise Refusal(f"{name} has the default prompt {prompt[:60]!r}: prefixes alone are served")
    listed = listed_modules(folder, PYLATE)
    kinds = [kind for kind, _ in listed]
    if len(kinds) < 2 or kinds[0] != "Transformer" or listed[0][1] or {*kinds[1:]} != {"Dense"}:
        raise Refusal(
            f"{folder / MODULES} lists {', '.join(kinds) or 'nothing'}: a Transformer in the root "
            "and Dense modules are expected: it cannot be served faithfully"
        )
    known = read_transformer(folder)
    if known["task"] != "feature-extraction" or known["message_format"]:
        raise Refusal(f"{folder / TRANSFORMER}: {known['task']} of texts is not served")
    return settings, read_projections(folder, listed[1:]), known["most_tokens"]
