"""Prompts: the texts around query and document that decoders were trained on.

A prompt is a row of *runs*. Each run is encoded as one text, and the ids of all runs are joined: no
token reaches over the border of two runs. A run without slots is text of ours, in which special
tokens are meant; in a run with slots they are not, for clients fill these.

Sources: the README of QwenLM/Qwen3-Embedding (Qwen3-Reranker, its transformers form, not the vLLM
one, which differs); `mxbai_rerank_v2.py` of mixedbread-ai/mxbai-rerank; `decoder_only/base.py` of
FlagEmbedding (bge-reranker-v2-gemma); the model cards of zeroentropy/zerank-2,
ContextualAI/ctxl-rerank-v2-instruct-multilingual and nvidia/llama-nemotron-rerank-1b-v2.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

QUERY, DOCUMENT, INSTRUCTION = "query", "document", "instruction"

_MARKER = re.compile(r"<\|\w+\|>|<[A-Z]\w+>:?|<start_of_turn>|<end_of_turn>")
_PLACE = re.compile(r"\{(query|document|instruction)\}")


@dataclass(frozen=True, slots=True)
class Slot:
    """A place that a text fills.

    Attributes:
        filled_by: `query`, `document` or `instruction`.
        strips_start, strips_end: whether white space is taken off the text first.
    """

    filled_by: str
    strips_start: bool = False
    strips_end: bool = False

    def fill(self, text: str) -> str:
        """Return a text as the slot takes it."""
        text = text.lstrip() if self.strips_start else text
        return text.rstrip() if self.strips_end else text


Run = tuple[str | Slot, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """The text of a pair, in runs.

    Attributes:
        name: how messages call it.
        runs: the prompt with an instruction.
        bare: the prompt without one.
        instruction: the default instruction.
        is_framed: whether the tokenizer's own special tokens stand around what has slots.
        is_one_text: whether all runs are one text, in which special tokens are the only borders.
    """

    name: str
    runs: tuple[Run, ...]
    bare: tuple[Run, ...]
    instruction: str = ""
    is_framed: bool = False
    is_one_text: bool = False

    @property
    def takes_instruction(self) -> bool:
        """True if an instruction reaches the text."""
        return self.runs != self.bare

    @property
    def literals(self) -> tuple[str, ...]:
        """The pieces of text that are the same for all pairs."""
        return tuple(piece for run in self.runs for piece in run if isinstance(piece, str))

    def text(self, query: str, document: str, instruction: str = "") -> str:
        """Return the whole text of a pair; an instruction that is empty is the default one."""
        filling = {QUERY: query, DOCUMENT: document, INSTRUCTION: instruction or self.instruction}
        runs = self.runs if filling[INSTRUCTION] else self.bare
        return "".join(filled(run, filling) for run in runs)

    @property
    def markers(self) -> tuple[str, ...]:
        """Pieces of the text that no ordinary query or document holds."""
        found = _MARKER.findall("".join(self.literals))
        return tuple(dict.fromkeys(found))


def slots_of(runs: Sequence[Run]) -> Iterator[Slot]:
    """Yield the slots of runs in order."""
    return (piece for run in runs for piece in run if isinstance(piece, Slot))


def filled(run: Run, filling: Mapping[str, str]) -> str:
    """Return a run's text with its slots filled."""
    return "".join(
        piece if isinstance(piece, str) else piece.fill(filling[piece.filled_by]) for piece in run
    )


def run_of(text: str) -> Run:
    """Return a run, with slots where a text has `{query}`, `{document}` and `{instruction}`."""
    pieces = _PLACE.split(text)
    made = (Slot(piece) if at % 2 else piece for at, piece in enumerate(pieces))
    return tuple(piece for piece in made if piece)


def _prompt(name: str, *runs: str, line: str = "", **settings: object) -> Prompt:
    """Return a prompt; `line`, which holds the instruction, is left out where there is none."""
    bare = (text.replace(line, "") if line else text for text in runs)
    return Prompt(
        name=name,
        runs=tuple(map(run_of, runs)),
        bare=tuple(run_of(text) for text in bare if text),
        **settings,  # type: ignore[arg-type]  # the few fields above, as the table writes them
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The tokens whose logits are the margin: `scale * (logit(true) - logit(false))`.

    Attributes:
        true, false: the text of a token, or its id; without a false one the margin is
            `logit(true)` alone.
        scale: by which the difference is multiplied.
    """

    true: str | int
    false: str | int | None = None
    scale: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A prompt of ours, and the checkpoints that it belongs to.

    Attributes:
        families: values of `model_type`.
        names: the checkpoint's name holds one of these, in small letters.
        signs: text that the checkpoint's own chat template holds, if it has one.
    """

    prompt: Prompt
    answers: Answers
    families: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    signs: tuple[str, ...] = ()


_QWEN3_SYSTEM = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query "
    'and the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n"
)
_QWEN3_ASKED = "<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {document}"
_QWEN3_END = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
_QWEN3 = _prompt(
    "qwen3-reranker",
    _QWEN3_SYSTEM,
    _QWEN3_ASKED,
    _QWEN3_END,
    line="<Instruct>: {instruction}\n",
    is_framed=True,
    instruction="Given a web search query, retrieve relevant passages that answer the query",
)
_ANSWER_IS = replace(
    _QWEN3, name="answer-is", runs=(*_QWEN3.runs[:2], (f"{_QWEN3_END}The answer is:",))
)
_MXBAI_TASK = (
    "You are a search relevance expert who evaluates how well documents match search queries. "
    "For each query-document pair, carefully analyze the semantic relationship between them, "
    "then provide your binary relevance judgment (0 for not relevant, 1 for relevant).\n"
    "Relevance:"
)
_MXBAI = _prompt(
    "mxbai-rerank-v2",
    "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant."
    "<|im_end|>\n<|im_start|>user\n",
    "instruction: {instruction}\nquery: {query}",
    "\n",
    "document: {document}",
    "\n",
    _MXBAI_TASK,
    "<|im_end|>\n<|im_start|>assistant\n",
    line="instruction: {instruction}\n",
)
_ZERANK = _prompt(
    "zerank",
    "<|im_start|>system\n{query}<|im_end|>\n<|im_start|>user\n{document}<|im_end|>\n"
    "<|im_start|>assistant\n",
    is_one_text=True,
)
_GEMMA = _prompt(
    "bge-reranker-v2-gemma",
    "<bos>",
    "A: {query}",
    "\n",
    "B: {document}",
    "\n",
    "{instruction}",
    instruction=(
        "Given a query A and a passage B, determine whether the passage contains an answer to the "
        "query by providing a prediction of either 'Yes' or 'No'."
    ),
)
_GEMMA = replace(_GEMMA, bare=_GEMMA.runs[:-1])
_CTXL = _prompt(
    "ctxl-rerank-v2",
    "Check whether a given document contains information helpful to answer the query.\n"
    "<Document> {document}\n<Query> {query} {instruction} ??",
    line=" {instruction}",
    is_framed=True,
)
_NEMOTRON = _prompt("nemotron-rerank", "question:{query} \n \n passage:{document}", is_framed=True)

KNOWN = {
    known.prompt.name: known
    for known in (
        Known(
            prompt=_QWEN3,
            answers=Answers(true="yes", false="no"),
            families=("qwen3",),
            names=("qwen3-reranker",),
            signs=("Judge whether the Document",),
        ),
        Known(
            prompt=replace(_ANSWER_IS, bare=(*_QWEN3.bare[:2], *_ANSWER_IS.runs[2:])),
            answers=Answers(true="yes", false="no"),
        ),
        Known(
            prompt=_MXBAI,
            answers=Answers(true="1", false="0"),
            families=("qwen2",),
            names=("mxbai-rerank",),
        ),
        Known(
            prompt=_ZERANK,
            answers=Answers(true="Yes", scale=0.2),  # the card divides by 5
            families=("qwen3",),
            names=("zerank",),
        ),
        Known(
            prompt=_GEMMA,
            answers=Answers(true="Yes"),
            families=("gemma",),
            names=("bge-reranker-v2-gemma",),
        ),
        Known(
            prompt=_CTXL,
            answers=Answers(true=0),
            families=("qwen2", "qwen3", "llama"),
            names=("ctxl-rerank",),
        ),
        Known(
            prompt=_NEMOTRON,
            answers=Answers(true="yes", false="no"),
            families=("llama_bidirec", "llama"),
            names=("nemotron-rerank", "nv-rerankqa"),
        ),
    )
}
"""The prompts of ours by name; the setting `template` chooses one."""

TEMPLATES = {name: known.prompt for name, known in KNOWN.items()}

PLAIN = "plain"
"""The value of `template` for no prompt: the tokenizer joins query and document."""


def known_for(model_type: str, names: str, chat_template: str) -> tuple[Known, str] | None:
    """Return the prompt of ours that a checkpoint goes with, and the sign of it; `None` for none.

    Args:
        names: what the checkpoint is called.
        chat_template: its own, if it has one.
    """
    for known in KNOWN.values():
        if model_type not in known.families:
            continue
        for sign in known.signs:
            if sign in chat_template:
                return known, f"its chat template says {sign!r}"
    for known in KNOWN.values():
        for name in known.names:
            if model_type in known.families and name in names.lower():
                return known, f"its name holds {name!r}"
    return None
