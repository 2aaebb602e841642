"""Prompts as the official packages and cards assemble them, for checkpoints whose files have none.

Each prompt is written down once more, from its source and not from `shards.prompts`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Encode = Callable[[str], list[int]]


@dataclass(frozen=True, slots=True)
class Official:
    """One prompt.

    Attributes:
        assemble: takes a function from text to ids, another that also adds the tokenizer's own
            special tokens, instruction, query and document; returns the ids of the pair.
        answers: the true and the false token, and the factor of their difference.
    """

    assemble: Callable[[Encode, Encode, str, str, str], list[int]]
    answers: tuple[str | int, str | int | None, float]

    def ids(self, tokenizer: Any, instruction: str, query: str, document: str) -> list[int]:
        """Return the ids of a pair."""

        def plain(text: str) -> list[int]:
            return list(tokenizer(text, add_special_tokens=False)["input_ids"])

        def framed(text: str) -> list[int]:
            return list(tokenizer(text)["input_ids"])

        return self.assemble(plain, framed, instruction, query, document)


def _qwen3(end: str) -> Callable[[Encode, Encode, str, str, str], list[int]]:
    def assemble(plain: Encode, framed: Encode, task: str, query: str, document: str) -> list[int]:
        task = task or "Given a web search query, retrieve relevant passages that answer the query"
        body = f"<Instruct>: {task}\n<Query>: {query}\n<Document>: {document}"
        prefix = (
            "<|im_start|>system\nJudge whether the Document meets the requirements based on the "
            "Query and the Instruct provided. Note that the answer can only be "
            '"yes" or "no".<|im_end|>\n<|im_start|>user\n'
        )
        suffix = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
        return plain(prefix) + framed(body) + plain(suffix + end)

    return assemble


def _mxbai(plain: Encode, framed: Encode, task: str, query: str, document: str) -> list[int]:
    asked = f"query: {query}"
    if task:
        asked = f"instruction: {task}\n{asked}"
    judge = (
        "You are a search relevance expert who evaluates how well documents match search queries. "
        "For each query-document pair, carefully analyze the semantic relationship between them, "
        "then provide your binary relevance judgment (0 for not relevant, 1 for relevant).\n"
        "Relevance:"
    )
    system = (
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant."
        "<|im_end|>\n<|im_start|>user\n"
    )
    texts = (system, asked, "\n", f"document: {document}", "\n", judge)
    ids = [id for text in texts for id in plain(text)]
    return ids + plain("<|im_end|>\n<|im_start|>assistant\n")


def _zerank(plain: Encode, framed: Encode, task: str, query: str, document: str) -> list[int]:
    messages = (("system", query), ("user", document))
    text = "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in messages)
    return plain(f"{text}<|im_start|>assistant\n")


def _gemma(plain: Encode, framed: Encode, task: str, query: str, document: str) -> list[int]:
    task = task or (
        "Given a query A and a passage B, determine whether the passage contains an answer to the "
        "query by providing a prediction of either 'Yes' or 'No'."
    )
    line = plain("\n")
    return (
        plain("<bos>") + plain(f"A: {query}") + line + plain(f"B: {document}") + line + plain(task)
    )


def _ctxl(plain: Encode, framed: Encode, task: str, query: str, document: str) -> list[int]:
    task = f" {task}" if task else ""
    return framed(
        "Check whether a given document contains information helpful to answer the query.\n"
        f"<Document> {document}\n<Query> {query}{task} ??"
    )


def _nemotron(plain: Encode, framed: Encode, task: str, query: str, document: str) -> list[int]:
    return framed(f"question:{query} \n \n passage:{document}")


PROMPTS: Mapping[str, Official] = {
    "qwen3-reranker": Official(_qwen3(""), ("yes", "no", 1.0)),
    "answer-is": Official(_qwen3("The answer is:"), ("yes", "no", 1.0)),
    "mxbai-rerank-v2": Official(_mxbai, ("1", "0", 1.0)),
    "zerank": Official(_zerank, ("Yes", None, 1 / 5)),
    "bge-reranker-v2-gemma": Official(_gemma, ("Yes", None, 1.0)),
    "ctxl-rerank-v2": Official(_ctxl, (0, None, 1.0)),
    "nemotron-rerank": Official(_nemotron, ("yes", "no", 1.0)),
}

_NAMED = {
    "qwen3-reranker": "qwen3-reranker",
    "mxbai-rerank": "mxbai-rerank-v2",
    "zerank": "zerank",
    "bge-reranker-v2-gemma": "bge-reranker-v2-gemma",
    "ctxl-rerank": "ctxl-rerank-v2",
    "nemotron-rerank": "nemotron-rerank",
    "nv-rerankqa": "nemotron-rerank",
}
_DECODERS = ("qwen", "gemma", "llama", "mistral")


def for_checkpoint(config: Mapping[str, Any], names: str, chat: str) -> Official | None:
    """Return the prompt of a checkpoint whose files have none; `None` for a plain pair."""
    model_type = str(config.get("model_type"))
    if not model_type.startswith(_DECODERS):
        return None
    if "Bidirectional" in str(config.get("architectures")):
        return PROMPTS["nemotron-rerank"]
    is_lm = "ForCausalLM" in str(config.get("architectures"))
    if "rerank_gateway" in config or "Judge whether the Document" in chat:
        return PROMPTS["qwen3-reranker"]
    if config.get("sentence_transformers") and not is_lm and not chat:
        return None
    for part, name in _NAMED.items():
        if part in names.lower():
            return PROMPTS[name]
    return PROMPTS["qwen3-reranker"] if is_lm else None
