"""Scores that others have published for well-known checkpoints, to be compared with ours.

Other programs computed them in other number formats, so each has a tolerance for that. A checkpoint
is recognised by its name and its size. Sources: the model cards; for Qwen3-Reranker, whose card
prints no scores, llama.cpp's documentation of ggml-org's conversion (Q8_0), a test of SGLang (pull
request 16403), and issue 64 of QwenLM/Qwen3-Embedding.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Published:
    """One published score: a relevance score, in [0, 1]."""

    query: str
    document: str
    score: float
    tolerance: float
    instruction: str = ""


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    name: str
    hidden_size: int
    layers: int
    scores: tuple[Published, ...]


_FRANCE = "what is the capital of France"
_CHINA = "What is the capital of China?"
_TASK = "Given a web search query, retrieve relevant passages that answer the query."
_PANDA = (
    "The giant panda (Ailuropoda melanoleuca), sometimes called a panda bear or simply panda, is a "
    "bear species endemic to China."
)
_BERLIN = "How many people live in Berlin?"

CHECKPOINTS = (
    _Checkpoint(
        "qwen3-reranker-0.6b",
        1024,
        28,
        (
            Published(_FRANCE, "Paris is the capital of France.", 0.9971, 0.01),
            Published(_FRANCE, "The Eiffel Tower is a landmark located in Paris.", 0.0072, 0.01),
            Published(
                _FRANCE, "Photosynthesis converts sunlight into chemical energy.", 0.0, 0.001
            ),
            Published(_CHINA, "The capital of Korea is Seoul.", 0.001, 0.005),
            Published("法国首都是哪里？", "法国的首都是巴黎。", 0.7982, 0.06, _TASK),
            Published("法国首都是哪里？", "德国的首都是柏林。", 0.0002, 0.001, _TASK),
            Published("法国首都是哪里？", "香蕉是黄色的水果。", 0.0, 0.001, _TASK),
        ),
    ),
    *(
        _Checkpoint(
            name,
            hidden,
            layers,
            (
                Published(_CHINA, "The capital of China is Beijing.", 1.0, 0.02),
                Published(_CHINA, "The capital of Korea is Seoul.", 0.0, 0.02),
            ),
        )
        for name, hidden, layers in (
            ("qwen3-reranker-4b", 2560, 36),
            ("qwen3-reranker-8b", 4096, 36),
        )
    ),
    _Checkpoint(
        "cross-encoder-russian-msmarco",
        768,
        12,
        (
            # The card has 0.8813 in one place and 0.8438 (a logit of 1.6871) in another.
            Published(
                "как часто нужно ходить к стоматологу?",
                "Минимальный обязательный срок посещения зубного врача – раз в год, но специалисты "
                "рекомендуют делать это чаще – раз в полгода, а ещё лучше – раз в квартал. При "
                "таком сроке легко отследить любые начинающиеся проблемы и исправить их сразу же.",
                0.8626,
                0.04,
            ),
        ),
    ),
    _Checkpoint(
        "bge-reranker-v2-m3",
        1024,
        24,
        (
            Published("what is panda?", "hi", 0.0003, 0.001),
            Published("what is panda?", _PANDA, 0.9948, 0.003),
            Published("query", "passage", 0.0035, 0.002),
        ),
    ),
    _Checkpoint(
        "bge-reranker-base",
        768,
        12,
        (
            Published("what is panda?", "hi", 0.0003, 0.001),
            Published("what is panda?", _PANDA, 0.9979, 0.003),
            Published("query", "passage", 0.4475, 0.03),
        ),
    ),
    _Checkpoint(
        "ms-marco-minilm-l6-v2",
        384,
        6,
        (
            Published(
                _BERLIN,
                "Berlin had a population of 3,520,031 registered inhabitants in an area of 891.82 "
                "square kilometers.",
                0.9998,
                0.001,
            ),
            Published(_BERLIN, "Berlin is well known for its museums.", 0.0131, 0.006),
        ),
    ),
)


def published_for(name: str, config: Mapping[str, Any]) -> tuple[Published, ...]:
    """Return the published scores of a checkpoint; none if it is not recognised.

    Args:
        name: the checkpoint's source, and the name under which it was saved.
        config: its config.json.
    """
    size = (config.get("hidden_size"), config.get("num_hidden_layers"))
    lowered = name.lower().replace("minilm-l-6", "minilm-l6")
    for known in CHECKPOINTS:
        if known.name in lowered and size == (known.hidden_size, known.layers):
            return known.scores
    return ()
