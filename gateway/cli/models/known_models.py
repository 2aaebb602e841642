"""Rerankers that people use: what each is, how it scores, and whether it is served.

`kind` names the row of `tests/shards/checkpoint/kinds.py` whose folder, in the same layout, the
tests score beside a reference. `docs/models.md` is written from this table.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KnownModel:
    """One model, or several that differ in size alone.

    Attributes:
        name: the id on the hub; sizes in braces.
        parameters: their number.
        languages: in words.
        license: as the card states it.
        context: the most tokens of a pair.
        scoring: how a pair becomes a margin.
        kind: the row of the tests.
        since: the first version of the gateway that scores it right.
    """

    name: str
    parameters: str
    languages: str
    license: str
    context: str
    scoring: str
    kind: str
    since: str = "0.1.0"

    @property
    def ids(self) -> tuple[str, ...]:
        """Its ids on the hub, one for each size."""
        return expanded(self.name)


@dataclass(frozen=True, slots=True)
class RefusedModel:
    """Models that are not served.

    Attributes:
        name: their ids on the hub, a comma between two, or the kind of checkpoint in words.
        reason: why not, and what would serve instead.
    """

    name: str
    reason: str

    @property
    def ids(self) -> tuple[str, ...]:
        """Each of the ids; the words where it has none."""
        names = self.name.split(", ")
        return tuple(names) if all("/" in name for name in names) else (self.name,)


def expanded(name: str) -> tuple[str, ...]:
    """Return the names that a name with sizes in braces stands for."""
    before, brace, rest = name.partition("{")
    if not brace:
        return (name,)
    sizes, _, after = rest.partition("}")
    return tuple(f"{before}{size}{after}" for size in sizes.split(","))


_NEXT = "0.2.0"
_YES_NO = "prompt of its chat template, logit of yes less that of no"
_ONE_ROW = "pair of texts, one label"
_MAXSIM = 'late interaction, with `scorer = "maxsim"`:'
_COSINE = 'bi-encoder, with `scorer = "cosine"`:'

SERVED = (
    KnownModel(
        "Qwen/Qwen3-Reranker-{0.6B,4B,8B}",
        "0.6-8 B",
        "over 100",
        "Apache-2.0",
        "32K",
        _YES_NO,
        "LogitScore and a chat template",
    ),
    KnownModel(
        "tomaarsen/Qwen3-Reranker-{0.6B,4B,8B}-seq-cls",
        "0.6-8 B",
        "over 100",
        "Apache-2.0",
        "32K",
        "the same prompt, one row",
        "Qwen3-Reranker, row of a conversion",
    ),
    KnownModel(
        "zeroentropy/zerank-2",
        "4 B",
        "over 100",
        "CC-BY-NC-4.0",
        "32K",
        "query as system, document as user, logit of Yes",
        "LogitScore, true token alone",
        _NEXT,
    ),
    KnownModel(
        "zeroentropy/zerank-{1,1-small}",
        "1.7-4 B",
        "English",
        "CC-BY-NC-4.0, Apache-2.0",
        "32K",
        "the same, divided by 5; known by its name",
        "zerank by its name",
        _NEXT,
    ),
    KnownModel(
        "ContextualAI/ctxl-rerank-v2-instruct-multilingual-{1b,2b,6b}",
        "1-6 B",
        "over 100",
        "CC-BY-NC-SA-4.0",
        "32K",
        "own prompt, document first, logit of token 0",
        "ctxl-rerank by its name",
        _NEXT,
    ),
    KnownModel(
        "mixedbread-ai/mxbai-rerank-{base,large}-v2",
        "0.5-1.5 B",
        "over 100",
        "Apache-2.0",
        "32K",
        "own prompt, logit of 1 less that of 0; known by its name",
        "mxbai-rerank-v2 by its name",
    ),
    KnownModel(
        "BAAI/bge-reranker-v2-gemma",
        "2.5 B",
        "multilingual",
        "Gemma",
        "8K",
        "own prompt, logit of Yes; known by its name",
        "bge-reranker-v2-gemma by its name",
        _NEXT,
    ),
    KnownModel(
        "nvidia/llama-nemotron-rerank-1b-v2",
        "1.2 B",
        "26",
        "NVIDIA Open Model",
        "8K",
        "Llama that attends both ways, mean of states, one label",
        "nemotron: Llama both ways, mean",
        _NEXT,
    ),
    KnownModel(
        "fine-tunes of Qwen3, Qwen2, Llama, Mistral, Gemma by CrossEncoder",
        "any",
        "any",
        "any",
        "the checkpoint's",
        "as its files say: template or plain pair, tokens or labels",
        "Qwen3 with two labels",
        _NEXT,
    ),
    KnownModel(
        "BAAI/bge-reranker-{base,large,v2-m3}",
        "0.3-0.6 B",
        "multilingual",
        "MIT, Apache-2.0",
        "512-8K",
        _ONE_ROW,
        "XLM-R",
    ),
    KnownModel(
        "maidalun1020/bce-reranker-base_v1",
        "278 M",
        "Chinese, English, Japanese, Korean",
        "Apache-2.0",
        "512",
        _ONE_ROW,
        "XLM-R",
    ),
    KnownModel(
        "cross-encoder/mmarco-mMiniLMv2-L12-H384-v1",
        "118 M",
        "14",
        "Apache-2.0",
        "512",
        _ONE_ROW,
        "XLM-R",
    ),
    KnownModel(
        "cross-encoder/ms-marco-MiniLM-{L2,L4,L6,L12}-v2",
        "16-33 M",
        "English",
        "Apache-2.0",
        "512",
        _ONE_ROW,
        "BERT",
    ),
    KnownModel(
        "DiTy/cross-encoder-russian-msmarco", "178 M", "Russian", "MIT", "512", _ONE_ROW, "BERT"
    ),
    KnownModel(
        "Alibaba-NLP/gte-reranker-modernbert-base",
        "149 M",
        "English",
        "Apache-2.0",
        "8K",
        _ONE_ROW,
        "ModernBERT",
    ),
    KnownModel(
        "ibm-granite/granite-embedding-reranker-english-r2",
        "149 M",
        "English",
        "Apache-2.0",
        "8K",
        _ONE_ROW,
        "ModernBERT",
    ),
    KnownModel(
        "Alibaba-NLP/gte-multilingual-reranker-base",
        "306 M",
        "over 70",
        "Apache-2.0",
        "8K",
        _ONE_ROW + "; its own layout",
        "gte, its original layout",
        _NEXT,
    ),
    KnownModel(
        "cross-encoder/ettin-reranker-*",
        "17 M-1 B",
        "English",
        "MIT",
        "8K",
        "modules: pooling, dense layers, a norm",
        "modules, mean",
        _NEXT,
    ),
    KnownModel(
        "mixedbread-ai/mxbai-rerank-{xsmall,base,large}-v1",
        "70-435 M",
        "English",
        "Apache-2.0",
        "512",
        _ONE_ROW,
        "DeBERTa-v2",
        _NEXT,
    ),
    KnownModel(
        "jinaai/jina-reranker-v2-base-multilingual",
        "278 M",
        "over 100",
        "CC-BY-NC-4.0",
        "1K",
        _ONE_ROW + "; its own layout",
        "jina-reranker-v2",
        _NEXT,
    ),
    KnownModel(
        "jinaai/jina-reranker-v1-{turbo,tiny}-en",
        "33-38 M",
        "English",
        "Apache-2.0",
        "8K",
        _ONE_ROW + "; ALiBi",
        "jina-reranker-v1",
        _NEXT,
    ),
    KnownModel(
        "intfloat/multilingual-e5-{small,base,large}",
        "118-560 M",
        "over 90",
        "MIT",
        "512",
        _COSINE + " mean of states, prompts by its name",
        "e5: XLM-R, mean, prompts by its name",
        _NEXT,
    ),
    KnownModel(
        "intfloat/e5-{small,base,large}-v2",
        "33-335 M",
        "English",
        "MIT",
        "512",
        _COSINE + " mean of states, prompts by its name",
        "MiniLM: mean, 128 tokens",
        _NEXT,
    ),
    KnownModel(
        "BAAI/bge-{small,base,large}-en-v1.5",
        "33-335 M",
        "English",
        "MIT",
        "512",
        _COSINE + " first token; set `query_prompt` to its card's",
        "bge, gte: first token",
        _NEXT,
    ),
    KnownModel(
        "thenlper/gte-{small,base,large}",
        "33-335 M",
        "English",
        "MIT",
        "512",
        _COSINE + " mean of states",
        "MiniLM: mean, 128 tokens",
        _NEXT,
    ),
    KnownModel(
        "sentence-transformers/all-MiniLM-{L6,L12}-v2",
        "23-33 M",
        "English",
        "Apache-2.0",
        "256",
        _COSINE + " mean of states",
        "MiniLM: mean, 128 tokens",
        _NEXT,
    ),
    KnownModel(
        "answerdotai/answerai-colbert-small-v1, lightonai/GTE-ModernColBERT-v1",
        "33-149 M",
        "English",
        "Apache-2.0",
        "300",
        _MAXSIM + " sum of the best cosines of a query's tokens",
        "ColBERT",
        _NEXT,
    ),
)
"""The models that are served."""

REFUSED = (
    RefusedModel("jinaai/jina-reranker-v3", "listwise: a document has no score of its own"),
    RefusedModel(
        "jinaai/jina-reranker-m0, Qwen/Qwen3-VL-Reranker", "they rank images beside texts"
    ),
    RefusedModel("castorini/monot5-*", "sequence-to-sequence: an encoder and a decoder"),
    RefusedModel(
        "BAAI/bge-reranker-v2-minicpm-layerwise, BAAI/bge-reranker-v2.5-gemma2-lightweight",
        "heads for many layers, and code of their own",
    ),
    RefusedModel("natural-language inference with three labels", "it sorts pairs into classes"),
    RefusedModel(
        "weights as pickles alone", "reading them can run code: convert them to safetensors"
    ),
    RefusedModel("HQQ, NVFP4, MXFP4, other GGUF", "give the fp32, bf16 or fp16 checkpoint, or AWQ"),
)
"""The models that are refused, and why."""
