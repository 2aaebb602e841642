"""The plain transformers computation, written from the model cards and not from this project.

`causal_margins` is the snippet of the Qwen3-Reranker card: left padding, an attention mask, logits
of the whole vocabulary. `classifier_margins` is the usual cross-encoder loop. Both run in fp32, in
batches of eight in the order of the documents.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

TASK = "Given a web search query, retrieve relevant passages that answer the query"
PREFIX = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and "
    'the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n"
)
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"


def tokenizer_of(folder: Path) -> Any:
    """Return the checkpoint's tokenizer as transformers makes it."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, padding_side="left")


def format_instruction(instruction: str, query: str, document: str) -> str:
    """Return the body of the official prompt."""
    return f"<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {document}"


def prompt_ids(
    tokenizer: Any, query: str, documents: Sequence[str], instruction: str = TASK, limit: int = 8192
) -> list[list[int]]:
    """Return the official prompts as token ids."""
    prefix = tokenizer.encode(PREFIX, add_special_tokens=False)
    suffix = tokenizer.encode(SUFFIX, add_special_tokens=False)
    bodies = tokenizer(
        [format_instruction(instruction, query, document) for document in documents],
        padding=False,
        truncation="longest_first",
        return_attention_mask=False,
        max_length=limit - len(prefix) - len(suffix),
    )
    return [prefix + body + suffix for body in bodies["input_ids"]]


def _loaded(auto_class: Any, folder: Path) -> Any:
    return auto_class.from_pretrained(folder, dtype=torch.float32).eval()


@torch.no_grad()
def causal_margins(
    folder: Path,
    query: str,
    documents: Sequence[str],
    instruction: str = TASK,
    *,
    limit: int = 8192,
) -> list[float]:
    """Return logit(yes) - logit(no) at the last position, left-padded."""
    from transformers import AutoModelForCausalLM

    tokenizer = tokenizer_of(folder)
    model = _loaded(AutoModelForCausalLM, folder)
    yes, no = tokenizer.convert_tokens_to_ids("yes"), tokenizer.convert_tokens_to_ids("no")
    prompts = prompt_ids(tokenizer, query, documents, instruction, limit)
    margins: list[float] = []
    for start in range(0, len(prompts), 8):
        inputs = tokenizer.pad(
            {"input_ids": prompts[start : start + 8]}, padding=True, return_tensors="pt"
        )
        logits = model(**inputs).logits[:, -1, :]
        margins += (logits[:, yes] - logits[:, no]).tolist()
    return margins


@torch.no_grad()
def seq_cls_margins(folder: Path, query: str, documents: Sequence[str]) -> list[float]:
    """Return the logit of a seq-cls conversion, one unpadded prompt at a time."""
    from transformers import AutoModelForSequenceClassification

    model = _loaded(AutoModelForSequenceClassification, folder)
    prompts = prompt_ids(tokenizer_of(folder), query, documents)
    return [float(model(input_ids=torch.tensor([prompt])).logits[0, 0]) for prompt in prompts]


@torch.no_grad()
def classifier_margins(
    folder: Path, query: str, documents: Sequence[str], *, limit: int
) -> list[float]:
    """Return the logit, or the last label's logit less the first's."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="right")
    model = _loaded(AutoModelForSequenceClassification, folder)
    margins: list[float] = []
    for start in range(0, len(documents), 8):
        some = list(documents[start : start + 8])
        inputs = tokenizer(
            [query] * len(some),
            some,
            padding=True,
            truncation="only_second",
            max_length=limit,
            return_tensors="pt",
        )
        logits = model(**inputs).logits
        margins += (logits[:, -1] - (logits[:, 0] if logits.shape[1] == 2 else 0.0)).tolist()
    return margins
