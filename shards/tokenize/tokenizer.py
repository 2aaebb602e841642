"""The load of a checkpoint's tokenizer, and its guard against special tokens in clients' text.

A tokenizer normally turns the literal text `<|im_end|>` or `[SEP]` into the special token, so that
a document could end its own segment and answer in the model's place. A guarded tokenizer reads such
text as plain characters; for all other text it is the same tokenizer. The guard has three steps:

1. Special tokens are not matched in text: the library's setting `encode_special_tokens` does this.
2. Nor are added tokens that steer a model but are not called special (`<think>`): they are declared
   special. Added words and runs of spaces are ordinary text and stay as they are.
3. A special token may also be a piece of the vocabulary (`</s>` in Unigram models). The model finds
   it in spite of step 1, so the piece gets a random name that no text can hold. Its id stays.
"""

import json
import re
import secrets
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from shards.refusal import Refusal
from shards.tokenize.file_tokenizer import read_file_alone
from shards.tokenize.qwen_tokenizer import read_plain

_MARKUP = re.compile(r"^(<.+>|\[.+\]|\{.+\}|\|.+\|)$", re.DOTALL)
_FILES = (
    *("tokenizer.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model", "spm.model"),
    *("tokenizer.model", "vocab.json", "sentencepiece.model"),
)
_UNLIMITED = 1_000_000_000  # transformers writes a number over 1e29 for "no limit"
_PROBES = (
    "Hello, Wörld!  The 3 cats' naïve CAFÉ\nПривет, Ёлка и йод\t北京 한국 🙂 e\u0301 don't",
    "ｆｕｌｌ－ｗｉｄｔｈ １２３ ﬁ ﬂ ﬀ Ⅷ ½ ㈱ ㎏ ℃ ™ ① ｱｲｳ ﾞ № … “quoted” ‘s – — ´ ` ~",
    "a\u00a0b\u2003c\u200bd\u200d \ufeff x\u00ad y  z \r\n\t İı ẞß Σς ﷺ ไทย हिन्दी עברית",
    "1,234.5 http://a.b/c?d=e#f user@x.org C++ C# #1 50% $3 €4 [x] {y} <z> a_b under__score",
)
_CHANGES_IDS = (
    *("do_lower_case", "strip_accents", "add_prefix_space", "split_by_punct"),
    *("add_bos_token", "add_eos_token", "split_special_tokens", "added_tokens_decoder"),
)


@dataclass(frozen=True, slots=True)
class LoadedTokenizer:
    """A checkpoint's tokenizer.

    Attributes:
        backend: the tokenizer; neither pads nor truncates.
        max_length: the most tokens that the checkpoint allows; `None` when its files set no limit.
        gives_types: whether models of this tokenizer take token types.
        warnings: warnings for the operator.
    """

    backend: Tokenizer
    max_length: int | None = None
    gives_types: bool = False
    warnings: tuple[str, ...] = ()

    def ids(self, text: str) -> list[int]:
        """Return the ids of text of ours, in which special tokens are meant."""
        return self.backend.encode(text, add_special_tokens=False).ids

    def text_ids(self, texts: list[str]) -> list[list[int]]:
        """Return the ids of texts, each without the tokenizer's own special tokens."""
        encodings = self.backend.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in encodings]


def load_tokenizer(folder: Path) -> LoadedTokenizer:
    """Load the tokenizer of a checkpoint folder as plain transformers would; no remote code.

    Raises:
        Refusal: there is no tokenizer, it is broken, or it has no fast form.
    """
    if not any((folder / name).is_file() for name in _FILES):
        raise Refusal(
            f"no usable tokenizer in {folder}: it has none of {', '.join(_FILES)}; a "
            "tokenizer.json is expected beside config.json: download the whole checkpoint"
        )
    if plain := read_plain(folder):
        backend, limit = plain
        _take_whole_texts(backend)
        return LoadedTokenizer(backend, max_length=_most_tokens(limit, folder))
    if alone := read_file_alone(folder):
        backend, limit, gives_types = alone
        _take_whole_texts(backend)
        return LoadedTokenizer(
            backend, max_length=_most_tokens(limit, folder), gives_types=gives_types
        )
    return _through_transformers(folder)


def _through_transformers(folder: Path) -> LoadedTokenizer:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
    except Exception as error:  # a broken file makes transformers raise anything
        reason = str(error).strip().split("\n")[0]
        raise Refusal(
            f"no usable tokenizer in {folder}: {type(error).__name__}: {reason}; a tokenizer.json "
            "is expected beside config.json"
        ) from error
    if not getattr(tokenizer, "is_fast", False):
        raise Refusal(f"{folder} has a slow tokenizer only; a tokenizer.json is needed")
    _take_whole_texts(tokenizer.backend_tokenizer)
    backend, warnings = _proved(tokenizer.backend_tokenizer, folder)
    if getattr(tokenizer, "truncation_side", "right") == "left":
        raise Refusal(
            f"{folder}/tokenizer_config.json: truncation_side is 'left', 'right' is served"
        )
    return LoadedTokenizer(
        backend,
        max_length=_most_tokens(tokenizer.model_max_length, folder),
        gives_types="token_type_ids" in tokenizer.model_input_names,
        warnings=warnings,
    )


def _most_tokens(limit: Any, folder: Path) -> int | None:
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, int | float) or limit < 1:
        raise Refusal(
            f"{folder}/tokenizer_config.json: model_max_length is {str(limit)[:40]!r}, a number "
            "of tokens is expected"
        )
    return int(limit) if limit < _UNLIMITED else None


def _take_whole_texts(backend: Tokenizer) -> None:
    backend.no_truncation()
    backend.no_padding()


def _proved(backend: Tokenizer, folder: Path) -> tuple[Tokenizer, tuple[str, ...]]:
    """Return a tokenizer with the ids of the checkpoint's own tokenizer.json, and warnings.

    transformers builds some tokenizers anew from their vocabulary and loses a part (the character
    map of a DeBERTa-v2): then the file is used. Where tokenizer_config.json contradicts the file,
    transformers has always followed tokenizer_config.json, and so does this function.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        return backend, ()
    own = Tokenizer.from_file(str(path))
    _take_whole_texts(own)
    if _same_ids(own, backend):
        return backend, ()
    # A BertNormalizer has flags, which transformers sets as its class has them, also in training.
    has_flags = type(own.normalizer).__name__ == "BertNormalizer"
    if not (has_flags or _is_asked_for(folder)):
        return own, ()
    return backend, (
        "transformers tokenizes otherwise than the checkpoint's tokenizer.json, and was followed; "
        "check tokenizer_class and do_lower_case in tokenizer_config.json",
    )


def _same_ids(first: Tokenizer, second: Tokenizer) -> bool:
    texts: list[str | tuple[str, str]] = [*_PROBES, (_PROBES[0], _PROBES[1])]
    ids = (
        [encoding.ids for encoding in tokenizer.encode_batch(texts)]
        for tokenizer in (first, second)
    )
    return next(ids) == next(ids)


def _is_asked_for(folder: Path) -> bool:
    """Return whether tokenizer_config.json has settings that change ids."""
    try:
        config = json.loads((folder / "tokenizer_config.json").read_bytes())
    except (OSError, ValueError):
        return False
    return any(config.get(key) for key in _CHANGES_IDS)


def token_starts(backend: Tokenizer, text: str) -> list[int]:
    """Return the character at which each token of a text begins, never going back.

    `encode` would hold the interpreter lock for all of a long text, and so would a list of all
    offsets at once. `encode_batch` and single offsets let other threads run meanwhile.
    """
    (encoding,) = backend.encode_batch([text], add_special_tokens=False)
    spans = map(encoding.token_to_chars, range(len(encoding)))
    return list(accumulate((span[0] if span else 0 for span in spans), max))


def own_special_tokens(backend: Tokenizer) -> tuple[list[int], list[int]]:
    """Return the tokens that the tokenizer itself adds before and after a text; mostly none."""
    plain = backend.encode("a", add_special_tokens=False).ids
    whole = backend.encode("a").ids
    for start in range(len(whole) - len(plain) + 1):
        end = start + len(plain)
        if whole[start:end] == plain:
            return whole[:start], whole[end:]
    return [], []


def guard(tokenizer: LoadedTokenizer) -> LoadedTokenizer:
    """Return the tokenizer with special tokens in text read as plain characters.

    The argument must not be used afterwards: it shares its vocabulary with the result.
    """
    backend = tokenizer.backend
    control = _control_tokens(backend)
    backend.add_special_tokens(sorted(control))  # the tokens exist: this declares them special
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
    """Return the tokens that still come out when their text goes in; the unknown token may."""
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
    # Merges name their results, so pieces that result from a merge must keep their names.
    merged = {"".join(merge) for merge in model.get("merges", ())}
    for piece in merged & renamed.keys():
        del renamed[piece]
    model["vocab"] = {renamed.get(piece, piece): id for piece, id in model["vocab"].items()}
