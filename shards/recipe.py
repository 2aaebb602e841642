"""The scoring recipe of a checkpoint: all that its files say of how a pair becomes a margin.

`shards.checkpoint` reads it, once; engines take it and look at no file but the weights.
"""

from dataclasses import dataclass

from shards.prompts import Answers, Prompt

TRANSFORMERS = "transformers"
"""The layout of tensors under the names that transformers gives them."""

GTE, JINA_FLASH, JINA_BERT, BIDIRECTIONAL = "gte-new", "jina-flash", "jina-bert", "bidirectional"
"""The layouts of checkpoints that came with code of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadModule:
    """A module of sentence-transformers between pooled states and scores.

    Attributes:
        kind: `Dense`, `LayerNorm` or `Normalize`.
        folder: where its weights are; empty for none.
        inputs, outputs: its sizes.
        has_bias: whether a dense layer adds one.
        activation: a class of `torch.nn`.
        has_residual: whether its input is added to its output.
    """

    kind: str
    folder: str = ""
    inputs: int = 0
    outputs: int = 0
    has_bias: bool = True
    activation: str = "Identity"
    has_residual: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Similarity:
    """The margin of a bi-encoder: `scale * (cosine - middle)` of the vectors of two texts.

    Attributes:
        query_prompt: what stands before a query; `{instruction}` in it is a place for one.
        document_prompt: what stands before a document.
        default_prompt: what stands before a text that is for neither side.
        instruction: the default instruction.
        scale: by which cosines are multiplied.
        middle: the cosine whose margin is 0.
        sizes: the smaller sizes to which vectors may be cut, by the checkpoint's files.
        any_size: whether these files allow any size.
    """

    query_prompt: str = ""
    document_prompt: str = ""
    default_prompt: str = ""
    instruction: str = ""
    scale: float = 20.0
    middle: float = 0.0
    sizes: tuple[int, ...] = ()
    any_size: bool = False

    @property
    def takes_instruction(self) -> bool:
        """True if the query's prompt has a place for an instruction."""
        return "{instruction}" in self.query_prompt

    def before_query(self, instruction: str) -> str:
        """Return the query's prompt; an instruction that is empty is the default one."""
        return self.query_prompt.replace("{instruction}", instruction or self.instruction)


@dataclass(frozen=True, slots=True, kw_only=True)
class LateInteraction:
    """The margin of a late-interaction model: for each token of the query the best similarity with
    a token of the document, and the sum of these.

    Attributes:
        query_prefix, document_prefix: a token after the first one of each side; empty for none.
        query_tokens: the most tokens of a query, and their number where it is filled up.
        is_filled: whether a query is filled up with expansion tokens.
        attends: whether tokens see expansion tokens.
        fill_token: the expansion token.
        unknown_token: the token of words that the vocabulary lacks; empty for none.
        skipped_words: the tokens of documents that are compared with nothing.
    """

    query_prefix: str
    document_prefix: str
    query_tokens: int
    is_filled: bool
    attends: bool
    fill_token: str
    unknown_token: str = ""
    skipped_words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The computation of a margin from a pair.

    Attributes:
        kind: what the checkpoint is, in words.
        engine: the engine that fits, `causal`, `classifier`, `embedder` or `late`.
        layout: how tensors are named and joined, see `shards.engines.encoder.layouts`.
        prompt: the text of a pair; `None` where the tokenizer joins query and document.
        before_query: what stands before the query where there is no prompt.
        has_segments: whether query and document are two segments, with something between them.
        answers: the tokens whose logits are the margin; `None` for a head with labels or modules.
        labels: of the head, by their number.
        label_weights: what the logit of each label counts in the margin.
        similarity: how the vectors of a bi-encoder become a margin; `None` for other models.
        late: how those of tokens do in late interaction; `None` for other models.
        projection: the tensor that projects tokens, among the model's; empty where modules do.
        pooling: which states of the body go on: `last`, `first`, `mean`, ..., or `own` for what
            transformers' class of the checkpoint does.
        modules: what follows pooled states; empty where that class has a head of its own.
        is_causal: whether tokens see only those before them.
        pad_token_id: the id that the head skips at the end; `None` for none.
        temperature: by which logits are divided.
        activation, activation_origin: what the checkpoint applies to its logit (`sigmoid` or
            `identity`), and where that is said.
        most_tokens: the least of the limits that files set for a pair; `None` for none.
        notes: what was found, and where.
        warnings: what the operator should know.
    """

    kind: str
    engine: str
    layout: str = TRANSFORMERS
    prompt: Prompt | None = None
    before_query: str = ""
    has_segments: bool = True
    answers: Answers | None = None
    labels: tuple[str, ...] = ()
    label_weights: tuple[float, ...] = (1.0,)
    similarity: Similarity | None = None
    late: LateInteraction | None = None
    projection: str = ""
    pooling: str = "own"
    modules: tuple[HeadModule, ...] = ()
    is_causal: bool = True
    pad_token_id: int | None = None
    temperature: float = 1.0
    activation: str = "sigmoid"
    activation_origin: str = ""
    most_tokens: int | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def skipped_token(self) -> int | None:
        """The token at the end of pairs that a decoder's head with labels does not look at."""
        return None if self.answers else self.pad_token_id

    @property
    def takes_instruction(self) -> bool:
        """True if an instruction reaches the model."""
        slots = self.similarity or self.prompt
        return slots is not None and slots.takes_instruction
