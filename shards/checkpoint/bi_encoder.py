"""The scoring recipe of a bi-encoder: query and document are encoded apart, and compared.

A bi-encoder is a folder of sentence-transformers: a Transformer, a Pooling, then any of Dense,
LayerNorm and Normalize. Such a model ranks less well than a reranker, so it is served only where
the configuration asks for `scorer = "cosine"`, or where its own config.json does.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

from shards.checkpoint.config_keys import expect_known_keys, keys_of
from shards.checkpoint.configuration import check_config
from shards.checkpoint.direct import stored_shapes
from shards.checkpoint.expect import File
from shards.checkpoint.folder import Checkpoint
from shards.checkpoint.kind import DECODERS
from shards.checkpoint.sentence_files import EmbedderFiles, read_embedder_files
from shards.checkpoint.unserved import refused_unknown
from shards.recipe import HeadModule, Recipe, Similarity
from shards.refusal import Refusal
from shards.wire.exit_codes import ExitCode
from shards.wire.spec import ShardSpec

COSINE = "cosine"
SCALE = 20.0
"""The usual scale: that of sentence-transformers' MultipleNegativesRankingLoss."""

_OURS = "rerank_gateway"
_SIZES, _ANY_SIZE = "matryoshka_dimensions", "is_matryoshka"
_INSTRUCTED = re.compile(r"Instruct: (?P<instruction>[^{}]+)\n(?P<rest>Query:\s?)")
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")
_E5 = re.compile(r"(^|[-_/ ])e5-(?!.*instruct)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Prompts:
    query: str
    document: str
    note: str
    default: str = ""


def is_bi_encoder(checkpoint: Checkpoint, spec: ShardSpec) -> bool:
    """Return whether the configuration or the checkpoint's own files ask for similarity."""
    return spec.scorer == COSINE or (spec.scorer == "auto" and own_scorer(checkpoint) == COSINE)


def own_scorer(checkpoint: Checkpoint) -> str:
    """Return the scorer that a checkpoint of ours names in its config.json; empty for none."""
    return _ours(checkpoint).choice("scorer", (COSINE, ""), "")


def read_bi_encoder(checkpoint: Checkpoint, spec: ShardSpec) -> Recipe:
    """Return the scoring recipe of a bi-encoder.

    Raises:
        Refusal: it cannot be served faithfully.
    """
    config = File(str(checkpoint.folder / "config.json"), checkpoint.config)
    _expect_body(checkpoint)
    check_config(config, stored_shapes(checkpoint))
    expect_known_keys(config, (_SIZES, _ANY_SIZE))
    sizes, any_size = _matryoshka(config)
    if spec.template not in ("auto", "plain"):
        raise Refusal(
            f"`template` {spec.template!r} is for rerankers; a bi-encoder takes `query_prompt` and "
            "`document_prompt`",
            ExitCode.SPEC,
        )
    files = read_embedder_files(checkpoint.folder, checkpoint.name)
    _expect_cosine(files, checkpoint.name)
    _expect_widths(files.modules, config.count("hidden_size"), checkpoint.name)
    prompts = replace(_prompts(files, checkpoint, spec), default=files.default_prompt)
    similarity = replace(_similarity(prompts, checkpoint), sizes=sizes, any_size=any_size)
    return Recipe(
        kind="bi-encoder, cosine of two vectors",
        engine="embedder",
        has_segments=False,
        similarity=similarity,
        pooling=files.pooling,
        modules=files.modules,
        is_causal=checkpoint.model_type in DECODERS,
        activation_origin="scores are sigmoids of scaled cosines",
        most_tokens=files.most_tokens,
        notes=(
            prompts.note,
            f"margin: {similarity.scale:g} * (cosine - {similarity.middle:g})",
        ),
    )


def _matryoshka(config: File) -> tuple[tuple[int, ...], bool]:
    """Return the sizes to which vectors may be cut by config.json, and whether any size may be."""
    sizes = config.content.get(_SIZES) or []
    if not isinstance(sizes, list) or not all(type(size) is int and size > 0 for size in sizes):
        raise config.refuse(_SIZES, "a list of numbers from 1 on")
    return tuple(sizes), config.flag(_ANY_SIZE, usual=False) and not sizes


def _ours(checkpoint: Checkpoint) -> File:
    config = File(str(checkpoint.folder / "config.json"), checkpoint.config)
    return config.object(_OURS)


def _expect_body(checkpoint: Checkpoint) -> None:
    """Refuse a checkpoint that has a head of its own, or a class that transformers lacks."""
    architecture, model_type = checkpoint.architecture, checkpoint.model_type
    if architecture.endswith("ForSequenceClassification"):
        raise Refusal(
            f"{checkpoint.name} is a reranker ({architecture}), not a bi-encoder: leave out "
            f'`scorer = "{COSINE}"`',
            ExitCode.SPEC,
        )
    if not model_type or not keys_of(model_type):
        raise refused_unknown(checkpoint.name, checkpoint.config, architecture)


def _expect_cosine(files: EmbedderFiles, name: str) -> None:
    """Refuse vectors that were trained for another similarity than the cosine."""
    is_normal = bool(files.modules) and files.modules[-1].kind == "Normalize"
    if files.similarity == COSINE or (files.similarity == "dot" and is_normal):
        return
    raise Refusal(
        f"{name}: similarity_fn_name is {files.similarity!r} in its config_sentence_transformers."
        "json; cosine, or dot of normalised vectors, is served",
        ExitCode.SPEC,
    )


def _expect_widths(modules: tuple[HeadModule, ...], width: int | None, name: str) -> None:
    for module in modules:
        if module.inputs and width and module.inputs != width:
            raise Refusal(
                f"{name}: the module in {module.folder} takes {module.inputs} numbers, and {width} "
                "are given to it"
            )
        width = module.outputs or width


# -- prompts ---------------------------------------------------------------------------------------


def _prompts(files: EmbedderFiles, checkpoint: Checkpoint, spec: ShardSpec) -> _Prompts:
    """Return the prompts: of the configuration, else of the files, else those of the name."""
    query, document = spec.query_prompt, spec.document_prompt
    if query is None or document is None:
        found = _prompts_found(files, checkpoint)
        if query is None and document is None:
            return found
        query = found.query if query is None else query
        document = found.document if document is None else document
    return _Prompts(query, document, f"prompts {query!r} and {document!r}, as configured")


def _prompts_found(files: EmbedderFiles, checkpoint: Checkpoint) -> _Prompts:
    found = _prompts_of_files(files, checkpoint.name)
    if not (found.query or found.document) and _E5.search(checkpoint.own_names):
        note = "prompts 'query: ' and 'passage: ', by the name e5; no file has them"
        return _Prompts("query: ", "passage: ", note)
    return found


def _prompts_of_files(files: EmbedderFiles, name: str) -> _Prompts:
    """Choose prompts by their names, of which those that are saved as empty stand for none.

    Raises:
        Refusal: there is a default prompt alone, and no file says for which side of a pair it is.
    """
    query = files.prompts.get("query", "")
    named = (files.prompts.get(name, "") for name in _DOCUMENT_PROMPTS)
    document = next(filter(None, named), "")
    if files.default_prompt not in ("", query, document):
        raise Refusal(
            f"{name} has the default prompt {files.default_prompt[:60]!r} for any text: set "
            "`query_prompt` and `document_prompt` to what its card says",
            ExitCode.SPEC,
        )
    if query or document:
        note = f"prompts {query!r} and {document!r}, by config_sentence_transformers.json"
        return _Prompts(query, document, note)
    return _Prompts(
        "",
        "",
        "no prompts: no file has them; if the model's card names some, set `query_prompt` and "
        "`document_prompt`",
    )


def _similarity(prompts: _Prompts, checkpoint: Checkpoint) -> Similarity:
    ours = _ours(checkpoint)
    query, instruction = prompts.query, ""
    if found := _INSTRUCTED.fullmatch(query):
        instruction = found["instruction"]
        query = f"Instruct: {{instruction}}\n{found['rest']}"
    return Similarity(
        query_prompt=query,
        document_prompt=prompts.document,
        default_prompt=prompts.default,
        instruction=instruction,
        scale=ours.number("scale", SCALE),
        middle=_middle(ours),
    )


def _middle(ours: File) -> float:
    value: Any = ours.content.get("middle", 0.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1 <= value <= 1:
        raise ours.refuse("middle", "a number from -1 to 1")
    return float(value)
