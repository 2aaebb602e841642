"""The kinds of rerankers that are served, each with a maker of its folder."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests import checkpoints
from tests.shards.checkpoint.hub_layouts import (
    DOCUMENT_FIRST,
    QWEN3_TEMPLATE,
    STRUCTURED,
    ZERANK_TEMPLATE,
    bi_encoder,
    causal,
    cross_encoder,
    dense,
    modular,
    normalize,
    plain_pair,
)
from tests.shards.checkpoint.own_layouts import (
    deberta,
    gemma,
    gte_new,
    jina_bert,
    jina_flash,
    named,
    nemotron,
)


def _bert(**settings: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        checkpoints.bert(folder)
        return cross_encoder(folder, "sequence-classification", **settings)

    return make


def _old_activation(folder: Path) -> Path:
    checkpoints.bert(folder)
    old = {"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}
    checkpoints.change_config(folder, **old)
    return folder


def _named_templates(folder: Path) -> Path:
    """Write the template as older versions of transformers do: one of several in a list."""
    causal(folder, 10, 20, **_tail())
    (folder / "chat_template.jinja").unlink()
    path = folder / "tokenizer_config.json"
    named = [
        {"name": "tool_use", "template": "{{ messages }}"},
        {"name": "default", "template": QWEN3_TEMPLATE},
    ]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": named}))
    return folder


def _tail(template: str = QWEN3_TEMPLATE) -> dict[str, Any]:
    return {"template": template}


_GENERATION = {"add_generation_prompt": True}

SERVED: Mapping[str, Callable[[Path], Path]] = {
    "Qwen3-Reranker by its name": checkpoints.qwen3,
    "Qwen3-Reranker, row of a conversion": checkpoints.qwen3_seq_cls,
    "LogitScore and a chat template": lambda folder: causal(folder, 10, 20, **_tail()),
    "LogitScore and a list of named templates": _named_templates,
    "LogitScore, true token alone": lambda folder: causal(
        folder, 11, None, template=ZERANK_TEMPLATE, chat=_GENERATION
    ),
    "a default instruction": lambda folder: causal(
        folder, 10, 20, prompts={"web": "Find it."}, **_tail()
    ),
    "a document before the query": lambda folder: causal(
        folder, 0, None, template=DOCUMENT_FIRST, prompts={"web": "Find it."}
    ),
    "structured messages, trimmed": lambda folder: causal(
        folder, 10, 20, template=STRUCTURED, message="structured"
    ),
    "attention both ways": lambda folder: causal(folder, 10, 20, is_causal=False, **_tail()),
    "an untied head": lambda folder: causal(folder, 10, 20, tie_word_embeddings=False, **_tail()),
    "LogitScore without a template": lambda folder: causal(folder, 10, 20),
    "LogitScore, a prompt before the query": lambda folder: causal(
        folder, 10, 20, prompts={"q": "Find it: "}
    ),
    "LogitScore on Llama": lambda folder: causal(folder, 10, 20, "llama", **_tail()),
    "zerank by its name": lambda folder: named(folder, "qwen3", "zeroentropy/zerank-1-small"),
    "ctxl-rerank by its name": lambda folder: named(folder, "llama", "x/ctxl-rerank-v2-1b"),
    "mxbai-rerank-v2 by its name": lambda folder: named(folder, "qwen2", "mxbai-rerank-base-v2"),
    "bge-reranker-v2-gemma by its name": gemma,
    "Qwen3 with one label": lambda folder: plain_pair(folder, "qwen3"),
    "Qwen3 with two labels": lambda folder: plain_pair(folder, "qwen3", ("neg", "pos")),
    "Qwen2 with two labels, positive first": lambda folder: plain_pair(
        folder, "qwen2", ("relevant", "irrelevant")
    ),
    "Llama with one label": lambda folder: plain_pair(folder, "llama"),
    "Mistral with one label": lambda folder: plain_pair(folder, "mistral"),
    "Gemma with one label": lambda folder: plain_pair(folder, "gemma"),
    "Gemma3 with one label": lambda folder: plain_pair(folder, "gemma3_text"),
    "Phi-3 with one label": lambda folder: plain_pair(folder, "phi3"),
    "Gemma2 with two labels": lambda folder: plain_pair(
        folder, "gemma2", ("not relevant", "relevant")
    ),
    "SmolLM3 with one label": lambda folder: plain_pair(folder, "smollm3"),
    "nemotron: Llama both ways, mean": nemotron,
    "BERT": checkpoints.bert,
    "BERT with pos and neg": lambda folder: checkpoints.bert(folder, labels=("pos", "neg")),
    "BERT with a default prompt": _bert(prompts={"q": "gravity: "}),
    "BERT whose activation has its old key": _old_activation,
    "ModernBERT, first token": lambda folder: checkpoints.modernbert(
        folder, classifier_pooling="cls"
    ),
    "XLM-R": checkpoints.xlm_roberta,
    "ModernBERT": checkpoints.modernbert,
    "DeBERTa-v2": deberta,
    "modules, mean": modular,
    "modules, first token": lambda folder: modular(folder, "cls"),
    "modules, last token": lambda folder: modular(folder, "lasttoken"),
    "modules, weighted mean": lambda folder: modular(folder, "weightedmean", "bert"),
    "modules, mean over the root": lambda folder: modular(folder, "mean_sqrt_len_tokens", "bert"),
    "modules, maximum": lambda folder: modular(folder, "max"),
    "modules on BERT": lambda folder: modular(folder, "cls", "bert"),
    "modules on BERT, mean, prompt": lambda folder: modular(
        folder, "mean", "bert", prompts={"q": "gravity: "}
    ),
    "gte, its original layout": gte_new,
    "jina-reranker-v2": jina_flash,
    "jina-reranker-v1": jina_bert,
    "jina-reranker-v1, other gates": lambda folder: jina_bert(folder, feed_forward_type="reglu"),
}
"""A maker of a folder for each kind that is served."""


def _e5(folder: Path) -> Path:
    bi_encoder(folder, "xlm_roberta", "mean", normalize(), longest=100)
    checkpoints.change_config(folder, _name_or_path="tests/multilingual-e5-tiny")
    return folder


BI_ENCODERS: Mapping[str, Callable[[Path], Path]] = {
    "e5: XLM-R, mean, prompts by its name": _e5,
    "bge, gte: first token": lambda folder: bi_encoder(folder, "bert", "cls", normalize()),
    "MiniLM: mean, 128 tokens": lambda folder: bi_encoder(
        folder, "bert", "mean", normalize(), longest=128
    ),
    "a dense layer, two prompts": lambda folder: bi_encoder(
        folder,
        "bert",
        "cls",
        dense(64, 32, "Tanh"),
        normalize(),
        prompts={"query": "gravity: ", "document": "soup: "},
    ),
    "ModernBERT, not normalised": lambda folder: bi_encoder(folder, "modernbert", "mean"),
    "ModernBERT, maximum": lambda folder: bi_encoder(folder, "modernbert", "max"),
    "a prompt for passages": lambda folder: bi_encoder(
        folder, "bert", "weightedmean", prompts={"query": "query: ", "passage": "passage: "}
    ),
    "a query with an instruction": lambda folder: bi_encoder(
        folder, "bert", "lasttoken", prompts={"query": "Instruct: Find it\nQuery: "}
    ),
    "mean over the root, dot of unit vectors": lambda folder: bi_encoder(
        folder, "xlm_roberta", "mean_sqrt_len_tokens", normalize(), similarity="dot", longest=100
    ),
}
"""A maker of a folder for each kind of bi-encoder that `scorer = "cosine"` serves."""
