"""Reads checkpoints as a shard would before it loads weights; the process behind `gateway check`.

`python -m shards.tools.read_checkpoint` reads one line of JSON a checkpoint, `{"source": ...}`, and
writes one for it: `{"recipe": {...}}` or `{"refused": TEXT}`. Files of a stranger are read here and
not in the command's own process, so that whatever they do ends with this one.
"""

import json
import os
import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shards.refusal import Refusal
from shards.wire.spec import ShardSpec

_MOST_MEMORY = 16 << 30  # of addresses; libraries map some gigabytes
_BROKEN = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)


def main() -> int:
    """Answer each line of standard input; return the exit code."""
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    os.environ["HF_HUB_OFFLINE"] = "1"
    for line in sys.stdin:
        os.write(1, json.dumps(_answer(json.loads(line))).encode() + b"\n")
    return 0


def _answer(asked: Mapping[str, Any]) -> dict[str, Any]:
    spec = ShardSpec(
        name="check/cpu",
        model="check",
        source=asked["source"],
        revision=asked.get("revision", ""),
        template=asked.get("template") or "auto",
        engine=asked.get("engine") or "auto",
        onnx_file=asked.get("onnx_file", ""),
        scorer=asked.get("scorer") or "auto",
        query_prompt=asked.get("query_prompt"),
        document_prompt=asked.get("document_prompt"),
        offline=True,
    )
    try:
        return {"recipe": read(spec)}
    except Refusal as refusal:
        return {"refused": str(refusal)}
    except _BROKEN as error:
        return {"refused": f"{spec.source} cannot be read: {type(error).__name__}: {error}"}


def read(spec: ShardSpec) -> dict[str, Any]:
    """Return what is known of a checkpoint without its weights.

    Raises:
        Refusal: a shard would refuse it as well.
    """
    from shards.checkpoint import is_graph_only, open_checkpoint, open_graph, read_recipe
    from shards.engines.pair_setup import pair_tokenizer
    from shards.tokenize import answer_ids, load_tokenizer

    if spec.onnx_file or spec.engine == "onnx" or is_graph_only(Path(spec.source).expanduser()):
        checkpoint = open_graph(spec).checkpoint
    else:
        checkpoint = open_checkpoint(spec, lambda line: None)
    recipe = read_recipe(checkpoint, spec)
    tokenizer = load_tokenizer(checkpoint.folder)
    if recipe.answers:
        answer_ids(tokenizer, recipe.answers)
    rows = tokenizer.backend.get_vocab_size()
    if rows > int(checkpoint.config.get("vocab_size") or rows):
        raise Refusal(
            f"{checkpoint.name}: the tokenizer has {rows} tokens, the model "
            f"{checkpoint.config['vocab_size']}; they do not belong together"
        )
    pairs = pair_tokenizer(spec, tokenizer, recipe, max_length=1 << 20)
    return {
        "kind": recipe.kind,
        "engine": recipe.engine,
        "prompt": recipe.prompt.name if recipe.prompt else "",
        "notes": list(recipe.notes),
        "warnings": [*recipe.warnings, *pairs.warnings],
    }


if __name__ == "__main__":
    sys.exit(main())
