"""The prompts that yes/no rerankers were trained on, letter for letter.

A prompt is `PREFIX [instruct] query document SUFFIX`. Prefix and suffix are encoded on their own
and joined as ids. What lies between is one string where the model's official code encodes it as one
(`joined`), else query and document are encoded apart with `between` as a third.

Sources: the README of QwenLM/Qwen3-Embedding (Qwen3-Reranker, its transformers form, not the vLLM
one, which differs); `mxbai_rerank_v2.py` of mixedbread-ai/mxbai-rerank.
"""

from dataclasses import dataclass, replace

from shards.refusal import Refusal
from shards.wire.exit_codes import ExitCode


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """One prompt.

    Attributes:
        prefix: before everything.
        instruct: the line with `{instruction}`; left out when there is no instruction at all.
        query: the line with `{query}`.
        between: between query and document, when they are not joined.
        document: what stands before the document, without the space that follows.
        suffix: after the document; each piece is encoded on its own.
        joined: whether query and document are encoded as one string.
        special_tokens: whether the tokenizer adds its own special tokens to that string.
        instruction: the default instruction.
        yes, no: the tokens whose logits are compared.
        max_length: the official code's limit in tokens; a spec may raise or lower it.
        families: values of `model_type` for which this is the template unless told otherwise.
        names: if not empty, the checkpoint's name must hold one of these as well.
    """

    prefix: str
    instruct: str
    query: str
    between: str = ""
    document: str
    suffix: tuple[str, ...]
    joined: bool
    special_tokens: bool = False
    instruction: str = ""
    yes: str = "yes"
    no: str = "no"
    max_length: int = 8192
    families: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


_QWEN3 = Template(
    prefix=(
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query "
        'and the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
        "<|im_start|>user\n"
    ),
    instruct="<Instruct>: {instruction}\n",
    query="<Query>: {query}\n",
    document="<Document>:",
    suffix=("<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",),
    joined=True,
    special_tokens=True,
    instruction="Given a web search query, retrieve relevant passages that answer the query",
    families=("qwen3",),
)

_MXBAI_V2 = Template(
    prefix=(
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant."
        "<|im_end|>\n<|im_start|>user\n"
    ),
    instruct="instruction: {instruction}\n",
    query="query: {query}",
    between="\n",
    document="document:",
    suffix=(
        "\n",
        "You are a search relevance expert who evaluates how well documents match search queries. "
        "For each query-document pair, carefully analyze the semantic relationship between them, "
        "then provide your binary relevance judgment (0 for not relevant, 1 for relevant).\n"
        "Relevance:",
        "<|im_end|>\n<|im_start|>assistant\n",
    ),
    joined=False,
    yes="1",
    no="0",
    families=("qwen2",),
    names=("mxbai-rerank",),
)

TEMPLATES = {
    "qwen3-reranker": _QWEN3,
    "answer-is": replace(
        _QWEN3,
        suffix=("<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\nThe answer is:",),
        families=(),
    ),
    "mxbai-rerank-v2": _MXBAI_V2,
}


def choose_template(name: str, model_type: str, checkpoint_name: str) -> Template:
    """Return the template called `name`; for `auto`, the one this kind of checkpoint goes with."""
    known = ", ".join(TEMPLATES)
    if name != "auto":
        if name not in TEMPLATES:
            raise Refusal(f"template {name!r} is not known; use one of {known}", ExitCode.SPEC)
        return TEMPLATES[name]
    for template in TEMPLATES.values():
        named = not template.names or any(part in checkpoint_name for part in template.names)
        if model_type in template.families and named:
            return template
    raise Refusal(
        f"no prompt is known for {checkpoint_name!r} (model_type {model_type!r}); set `template` "
        f"to the one it was trained on: {known}",
        ExitCode.SPEC,
    )
