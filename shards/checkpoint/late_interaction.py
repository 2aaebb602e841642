"""The scoring recipe of a late-interaction model: its tokens are compared, each encoded apart.

Two layouts: PyLate's folders, and those of Stanford's ColBERT (answerai-colbert-small), which have
`artifact.metadata` and the projection among the model's tensors. What PyLate adds by default is
added here. Such a model is served only where the configuration asks for `scorer = "maxsim"`.
"""

import string
from pathlib import Path
from typing import Any

from shards.checkpoint.bounded import read_json
from shards.checkpoint.config_keys import expect_known_keys
from shards.checkpoint.configuration import check_config
from shards.checkpoint.direct import stored_shapes
from shards.checkpoint.expect import File
from shards.checkpoint.folder import Checkpoint
from shards.checkpoint.kind import DECODERS
from shards.checkpoint.late_files import is_late_interaction, read_late_files
from shards.recipe import HeadModule, LateInteraction, Recipe
from shards.refusal import Refusal
from shards.wire.exit_codes import ExitCode
from shards.wire.spec import ShardSpec

MAXSIM = "maxsim"
METADATA = "artifact.metadata"
_STANFORD = "HF_ColBERT"
_PROJECTION = "linear.weight"
_QUERY_TOKENS, _DOCUMENT_TOKENS = 32, 180  # where no file has others
_MOST_TOKENS = 1 << 20
_BERTS = {"mask_token": "[MASK]", "unk_token": "[UNK]"}
_ROBERTAS = {"mask_token": "<mask>", "unk_token": "<unk>"}
_OF_CLASSES = {  # tokens that classes of transformers have where no file names them
    **dict.fromkeys(("Bert", "DistilBert", "Electra"), _BERTS),
    **dict.fromkeys(("XLMRoberta", "Roberta", "Camembert"), _ROBERTAS),
}


def is_late(checkpoint: Checkpoint) -> bool:
    """Return whether the files are those of a late-interaction model."""
    return checkpoint.architecture == _STANFORD or is_late_interaction(checkpoint.folder)


def refuse_late(checkpoint: Checkpoint) -> None:
    """Refuse a late-interaction model that is not asked for, with the line that serves it."""
    if is_late(checkpoint):
        raise Refusal(
            f"{checkpoint.name} is a late-interaction retriever (ColBERT): it compares a query's "
            "tokens with a document's, each encoded apart; to rank by the sum of the best "
            f'similarities, set `scorer = "{MAXSIM}"`',
            ExitCode.SPEC,
        )


def read_late(checkpoint: Checkpoint, spec: ShardSpec) -> Recipe:
    """Return the scoring recipe of a late-interaction model.

    Raises:
        Refusal: it cannot be served faithfully.
    """
    if not is_late(checkpoint):
        raise Refusal(
            f'{checkpoint.name} is no late-interaction model: leave out `scorer = "{MAXSIM}"`; '
            'for an embedder it is "cosine"',
            ExitCode.SPEC,
        )
    if spec.query_prompt is not None or spec.document_prompt is not None:
        raise Refusal(
            f"{checkpoint.name} has prefixes of its own: leave out `query_prompt` and "
            "`document_prompt`",
            ExitCode.SPEC,
        )
    if checkpoint.model_type in DECODERS:
        raise Refusal(f"{checkpoint.name} is a decoder, and late interaction of encoders is served")
    config = File(str(checkpoint.folder / "config.json"), checkpoint.config)
    check_config(config, stored_shapes(checkpoint))
    expect_known_keys(config)
    is_stanfords = checkpoint.architecture == _STANFORD
    read = _stanford if is_stanfords else _pylate
    late, modules, most = read(checkpoint)
    return Recipe(
        kind="late interaction, sum of the best similarities of tokens",
        engine="late",
        has_segments=False,
        late=late,
        projection=_PROJECTION if is_stanfords else "",
        modules=modules,
        is_causal=False,
        activation_origin="scores are sigmoids of sums of cosines",
        most_tokens=most,
        notes=(
            f"queries of {late.query_tokens} tokens"
            + (" with expansion" if late.is_filled else "")
            + f", prefixes {late.query_prefix!r} and {late.document_prefix!r}",
            "margin: the sum over the query's tokens of their best cosine with a document's",
        ),
    )


_Read = tuple[LateInteraction, tuple[HeadModule, ...], int]


def _pylate(checkpoint: Checkpoint) -> _Read:
    settings, modules, most = read_late_files(checkpoint.folder, checkpoint.name)
    _expect_widths(modules, checkpoint)
    expands = settings.flag("do_query_expansion", usual=True)
    late = LateInteraction(
        query_prefix=_prefix(settings, "query_prefix", "[Q] "),
        document_prefix=_prefix(settings, "document_prefix", "[D] "),
        query_tokens=settings.count("query_length", most=_MOST_TOKENS) or _QUERY_TOKENS,
        is_filled=expands,
        attends=expands and settings.flag("attend_to_expansion_tokens", usual=False),
        skipped_words=_words(settings),
        **_tokens(checkpoint.folder),
    )
    document = settings.count("document_length", most=_MOST_TOKENS) or _DOCUMENT_TOKENS
    return late, modules, min(document, most or document)


def _stanford(checkpoint: Checkpoint) -> _Read:
    path = checkpoint.folder / METADATA
    if not path.is_file():
        raise Refusal(f"{checkpoint.name} lacks {METADATA}: download the whole checkpoint")
    settings = File(str(path), read_json(path))
    settings.choice("similarity", ("cosine",), "cosine")
    if not settings.flag("mask_punctuation", usual=True):
        raise settings.refuse("mask_punctuation", "true")
    if _PROJECTION not in checkpoint.tensors:
        raise Refusal(f"{checkpoint.name} lacks the tensor {_PROJECTION}, the projection of tokens")
    late = LateInteraction(
        query_prefix=_prefix(settings, "query_token_id", "[unused0]"),
        document_prefix=_prefix(settings, "doc_token_id", "[unused1]"),
        query_tokens=settings.count("query_maxlen", most=_MOST_TOKENS) or _QUERY_TOKENS,
        is_filled=True,
        attends=settings.flag("attend_to_mask_tokens", usual=False),
        skipped_words=tuple(string.punctuation),
        **_tokens(checkpoint.folder),
    )
    return late, (), settings.count("doc_maxlen", most=_MOST_TOKENS) or _DOCUMENT_TOKENS


def _prefix(settings: File, key: str, usual: str) -> str:
    """Return a prefix; an empty one is none, and differs from one that is not there."""
    value = settings.text(key, usual)
    return "" if settings.content.get(key) == "" else value


def _words(settings: File) -> tuple[str, ...]:
    words = settings.content.get("skiplist_words")
    if words is None:
        return tuple(string.punctuation)
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise settings.refuse("skiplist_words", "a list of words")
    return tuple(words)


def _tokens(folder: Path) -> dict[str, str]:
    """Return the expansion token, as PyLate chooses it, and the one of unknown words."""
    path = folder / "tokenizer_config.json"
    content: dict[str, Any] = read_json(path) if path.is_file() else {}

    def token(name: str) -> str:
        value = content.get(name)
        value = value.get("content") if isinstance(value, dict) else value
        return value if isinstance(value, str) else ""

    kind = str(content.get("tokenizer_class", ""))
    of_class = next((usual for name, usual in _OF_CLASSES.items() if kind.startswith(name)), {})
    names = ("mask_token", "eos_token", "pad_token")
    fill = next(filter(None, (token(name) or of_class.get(name, "") for name in names)), "")
    if not fill:
        raise Refusal(f"{path} names no mask_token, by which queries are filled up")
    return {
        "fill_token": fill,
        "unknown_token": token("unk_token") or of_class.get("unk_token", ""),
    }


def _expect_widths(modules: tuple[HeadModule, ...], checkpoint: Checkpoint) -> None:
    width = checkpoint.config.get("hidden_size") or checkpoint.config.get("dim")
    for module in modules:
        if width and module.inputs != width:
            raise Refusal(
                f"{checkpoint.name}: the module in {module.folder} takes {module.inputs} numbers, "
                f"and {width} are given to it"
            )
        width = module.outputs
