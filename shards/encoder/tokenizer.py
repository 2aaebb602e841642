"""Loads a checkpoint's tokenizer, and keeps special tokens out of the clients' text.

A tokenizer normally turns the literal text `<|im_end|>` or `[SEP]` into the special token, so that
a document could end its own segment and answer in the model's place. A guarded tokenizer reads such
text as plain characters; for all other text it is the same tokenizer. Three things are needed:

1. Special tokens are not matched in text: what `encode_special_tokens` of tokenizers does.
2. Nor are added tokens that steer a model but are not called special (`<think>`): they are declared
   special. Added words and runs of spaces are ordinary text and stay as they are.
3. Where a special token is also a piece of the vocabulary (`</s>` in Unigram models) the model finds
   it without step 1: the piece gets a name, drawn at random, that no text can hold. Its id stays.
"""

import json
import re
import secrets
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from shards.encoder.qwen_tokenizer import read_plain
from shards.refusal import Refusal

_MARKUP = re.compile(r"^(<.+>|\[.+\]|\{.+\}|\|.+\|)$", re.DOTALL)
_UNLIMITED = 1_000_000_000  # transformers says "no limit" with a number over 1e29
_PROBE = "Hello, Wörld!  The 3 cats' naïve CAFÉ\nПривет, Ёлка и йод\t北京 한국 🙂 e\u0301 don't"


@dataclass(frozen=True, slots=True)
class LoadedTokenizer:
    """A checkpoint's tokenizer.

    Attributes:
        backend: the tokenizer; neither pads nor truncates.
        max_length: the most tokens its checkpoint allows; `None` when it does not say.
        gives_types: whether models of this tokenizer are given token types.
        warnings: what the operator should know.
    """

    backend: Tokenizer
    max_length: int | None = None
    gives_types: bool = False
    warnings: tuple[str, ...] = ()

    def ids(self, text: str) -> list[int]:
        """Encode text of ours, in which special tokens are meant."""
        return self.backend.encode(text, add_special_tokens=False).ids


def load_tokenizer(folder: Path) -> LoadedTokenizer:
    """Load the tokenizer of a checkpoint folder as plain transformers would; no remote code.

    Raises:
        Refusal: there is none, it is broken, or it has no fast form.
    """
    if plain := read_plain(folder):
        backend, limit = plain
        _take_whole_texts(backend)
        return LoadedTokenizer(backend, max_length=_most_tokens(limit))
    return _through_transformers(folder)


def _through_transformers(folder: Path) -> LoadedTokenizer:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
    except Exception as error:  # whatever a broken file makes transformers raise
        reason = str(error).strip().split("\n")[0]
        raise Refusal(
            f"no usable tokenizer in {folder}: {type(error).__name__}: {reason}; a tokenizer.json "
            "is expected beside config.json"
        ) from error
    if not getattr(tokenizer, "is_fast", False):
        raise Refusal(f"{folder} has a slow tokenizer only; a tokenizer.json is needed")
    backend: Tokenizer = tokenizer.backend_tokenizer
    _take_whole_texts(backend)
    return LoadedTokenizer(
        backend,
        max_length=_most_tokens(tokenizer.model_max_length),
        gives_types="token_type_ids" in tokenizer.model_input_names,
        warnings=_disagreement(backend, folder),
    )


def _most_tokens(limit: float | None) -> int | None:
    return int(limit) if limit is not None and limit < _UNLIMITED else None


def _take_whole_texts(backend: Tokenizer) -> None:
    backend.no_truncation()
    backend.no_padding()


def _disagreement(backend: Tokenizer, folder: Path) -> tuple[str, ...]:
    """Warn when transformers reads text otherwise than the checkpoint's own tokenizer.json."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return ()
    own = Tokenizer.from_file(str(path))
    _take_whole_texts(own)
    if own.encode(_PROBE).ids == backend.encode(_PROBE).ids:
        return ()
    return (
        "transformers tokenizes otherwise than the checkpoint's tokenizer.json, and was followed; "
        "check tokenizer_class and do_lower_case in tokenizer_config.json",
    )


def token_starts(backend: Tokenizer, text: str) -> list[int]:
    """Return the character at which each token of a text begins, never going back.

    Other threads go on meanwhile: `encode` would hold the interpreter for all of a long text, which
    `encode_batch` does not, and so would a list of all offsets at once.
    """
    (encoding,) = backend.encode_batch([text], add_special_tokens=False)
    spans = map(encoding.token_to_chars, range(len(encoding)))
    return list(accumulate((span[0] if span else 0 for span in spans), max))


def guard(tokenizer: LoadedTokenizer) -> LoadedTokenizer:
    """Return the tokenizer with special tokens in text read as plain characters.

    The tokenizer handed in must not be used afterwards: it shares its vocabulary with the result.
    """
    backend = tokenizer.backend
    control = _control_tokens(backend)
    backend.add_special_tokens(sorted(control))  # they exist: this only declares them special
    backend.encode_special_tokens = True
    is_unigram = type(backend.model).__name__ == "Unigram"
    reachable = control if is_unigram else _leaks(backend, control)
    if reachable:
        backend = _with_unreachable_pieces(backend, reachable)
    leaks = sorted(_leaks(backend, control))
    warnings = tuple(f"special token {leak} in text cannot be neutralised" for leak in leaks)
    return replace(tokenizer, backend=backend, warnings=tokenizer.warnings + warnings)


def _control_tokens(backend: Tokenizer) -> set[str]:
    added = backend.get_added_tokens_decoder().values()
    return {
        token.content for token in added if token.special or _MARKUP.match(token.content.strip())
    }


def _leaks(backend: Tokenizer, control: set[str]) -> set[str]:
    """Which tokens still come out when their text goes in; the unknown token may."""
    unknown = getattr(backend.model, "unk_token", None)
    return {
        token
        for token in control - {unknown}
        if backend.token_to_id(token) in backend.encode(token, add_special_tokens=False).ids
    }


def _with_unreachable_pieces(backend: Tokenizer, pieces: set[str]) -> Tokenizer:
    state = json.loads(backend.to_str())
    renamed = {piece: f"{piece}{secrets.token_hex(16)}" for piece in pieces}
    _rename_in_model(state["model"], renamed)
    for added in state["added_tokens"]:
        added["content"] = renamed.get(added["content"], added["content"])
        added["special"] = added["special"] or added["content"] in renamed.values()
    changed = Tokenizer.from_str(json.dumps(state))
    changed.encode_special_tokens = True
    return changed


def _rename_in_model(model: dict[str, Any], renamed: dict[str, str]) -> None:
    if model["type"] == "Unigram":
        model["vocab"] = [[renamed.get(piece, piece), score] for piece, score in model["vocab"]]
        return
    merged = {"".join(merge) for merge in model.get("merges", ())}  # these must keep their names
    for piece in merged & renamed.keys():
        del renamed[piece]
    model["vocab"] = {renamed.get(piece, piece): id for piece, id in model["vocab"].items()}
