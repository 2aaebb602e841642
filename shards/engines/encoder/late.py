"""Late interaction: a vector for each token, and the sum of a query's best similarities.

Tokens go through the transformers model of the checkpoint, padded, since queries hide their
expansion tokens from the others. The projection, the lengths of vectors and the similarities are
computed in fp32. The vectors of texts that were encoded before are kept.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from shards.checkpoint import Checkpoint, load_model, open_checkpoint
from shards.cost import Work
from shards.engines.encoder.loading import with_recipe
from shards.engines.encoder.pooled import Head, steps_of
from shards.engines.encoder.setup import PairSetup, pair_setup
from shards.engines.encoder.vector_cache import text_key
from shards.engines.layers.linear import FORMATS
from shards.engines.layers.padding import padded_inputs, warm_up_batches
from shards.machine import devices
from shards.machine.devices import moved
from shards.pairs import Batch, TokenizedPair, side_texts
from shards.refusal import Refusal, Report, notes_of
from shards.tokenize import LateTokenizer
from shards.wire.exit_codes import ExitCode
from shards.wire.facts import Facts
from shards.wire.spec import ShardSpec

_MIB = 1 << 20
_WARM_TOKEN = 4  # no checkpoint pads with it
_QUERY, _DOCUMENT = b"q", b"d"


class TokenVectors:
    """The vectors of tokens by text, those used longest ago dropped first, within a bound."""

    def __init__(self, megabytes: int) -> None:
        self._left = megabytes * _MIB
        self._kept: OrderedDict[bytes, torch.Tensor] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: bytes) -> torch.Tensor | None:
        """Return the vectors of a text, `[tokens, width]`; `None` if they are not kept."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, key: bytes, vectors: torch.Tensor) -> None:
        """Keep the vectors of a text, but for those with numbers that are not finite."""
        if not bool(vectors.isfinite().all()):
            return
        self._kept[key] = vectors
        self._left -= vectors.nbytes
        while self._left < 0:
            _, dropped = self._kept.popitem(last=False)
            self._left += dropped.nbytes


@dataclass(frozen=True, slots=True)
class LateModel:
    """A body, the projection of its states, and the tokens that count.

    Attributes:
        body: a model of transformers.
        head: projects states in fp32.
        tokenizer: the tokenizer, by which tokens count and are seen.
    """

    body: Any
    head: Head
    tokenizer: LateTokenizer

    def encode(self, texts: Batch, role: bytes) -> list[torch.Tensor]:
        """Return the vectors of the tokens of texts that count, each of length 1."""
        config = self.body.config
        inputs = padded_inputs(
            texts,
            pad_id=getattr(config, "pad_token_id", None) or 0,
            types=getattr(config, "type_vocab_size", 0) > 1,
        )
        if role == _QUERY:
            seen = torch.tensor([self.tokenizer.seen_tokens(text.token_ids) for text in texts])
            places = torch.arange(inputs["input_ids"].shape[1])
            inputs["attention_mask"] = (places < seen[:, None]).long()
        device = str(self.body.device)
        on_device = {name: moved(tensor, device) for name, tensor in inputs.items()}
        states = self.body(**on_device).last_hidden_state.float()
        vectors = functional.normalize(self.head(states), dim=-1)
        return [vectors[at][self._counted(text, role)] for at, text in enumerate(texts)]

    def _counted(self, text: TokenizedPair, role: bytes) -> list[int]:
        """Return the places of the tokens that count: all but what a document skips."""
        skipped = self.tokenizer.skipped if role == _DOCUMENT else frozenset[int]()
        counted = [at for at, id in enumerate(text.token_ids) if id not in skipped]
        return counted or [0]


class LateEngine:
    """A late-interaction model on one device."""

    def __init__(self, model: LateModel, facts: Facts, vectors: TokenVectors) -> None:
        self.facts = facts
        self.tokenizer = model.tokenizer
        self.last_work = Work([], [])
        self._model = model
        self._vectors = vectors

    @torch.inference_mode()
    def warm_up(self) -> None:
        """See `Engine`."""
        for texts in warm_up_batches(self.facts.max_length, token_id=_WARM_TOKEN):
            self._model.encode(texts, _DOCUMENT)

    @torch.inference_mode()
    def score(self, batch: Batch) -> list[float]:
        """See `Engine`."""
        return self._score(batch, self._vectors)

    @torch.inference_mode()
    def score_afresh(self, batch: Batch) -> list[float]:
        """See `KeepsVectors`."""
        return self._score(batch, TokenVectors(0))

    def _score(self, batch: Batch, kept: TokenVectors) -> list[float]:
        sides = [_keyed(pair) for pair in batch]
        found: dict[bytes, torch.Tensor] = {}
        missing: dict[bytes, TokenizedPair] = {}
        for key, text in (side for pair in sides for side in pair):
            if key in found or key in missing:
                continue
            vectors = kept.get(key)
            if vectors is None:
                missing[key] = text
            else:
                found[key] = vectors
        found |= self._encoded(missing, kept)
        self.last_work = _work(batch, sides, missing)
        return _sums(sides, found)

    def _encoded(
        self, missing: dict[bytes, TokenizedPair], kept: TokenVectors
    ) -> dict[bytes, torch.Tensor]:
        """Encode texts, queries and documents apart, and keep their vectors."""
        found: dict[bytes, torch.Tensor] = {}
        for role in (_QUERY, _DOCUMENT):
            keys = [key for key in missing if key[:1] == role]
            if not keys:
                continue
            encoded = self._model.encode([missing[key] for key in keys], role)
            found |= zip(keys, encoded, strict=True)
        for key, vectors in found.items():
            kept.keep(key, vectors)
        return found


_Side = tuple[bytes, TokenizedPair]


def _keyed(pair: TokenizedPair) -> tuple[_Side, _Side]:
    """Return query and document of a pair, each with its key."""
    query, document = side_texts(pair)
    return (
        (_QUERY + text_key(query.token_ids), query),
        (_DOCUMENT + text_key(document.token_ids), document),
    )


def _sums(sides: Sequence[tuple[_Side, _Side]], found: dict[bytes, torch.Tensor]) -> list[float]:
    """Return for each pair the sum over the query's tokens of their best similarity."""
    by_query: dict[bytes, list[int]] = defaultdict(list)
    for place, ((query, _), _) in enumerate(sides):
        by_query[query].append(place)
    margins = [0.0] * len(sides)
    for query, places in by_query.items():
        documents = [found[sides[place][1][0]] for place in places]
        similarities = found[query] @ torch.cat(documents).T
        parts = torch.split(similarities, [len(document) for document in documents], dim=1)
        sums = torch.stack([part.amax(1).sum() for part in parts]).tolist()
        for place, margin in zip(places, sums, strict=True):
            margins[place] = margin
    return margins


def _work(
    batch: Batch, sides: Sequence[tuple[_Side, _Side]], missing: dict[bytes, TokenizedPair]
) -> Work:
    """Return the cost of a batch; each text that was computed counts for its first pair."""
    left, computed = dict(missing), []
    for pair in sides:
        texts = [left.pop(key, None) for key, _ in pair]
        computed.append(sum(len(text) for text in texts if text is not None))
    if not any(computed):
        computed[0] = 1  # reading vectors is work as well, and no time is learnt without tokens
    saved = [max(0, len(pair) - tokens) for pair, tokens in zip(batch, computed, strict=True)]
    return Work(computed, saved)


def load(spec: ShardSpec, report: Report) -> LateEngine:
    """Load a late-interaction model; see `shards.engines.base.Load`."""
    checkpoint = open_checkpoint(spec, report)
    parts = pair_setup(spec, checkpoint, "late")
    assert isinstance(parts.tokenizer, LateTokenizer)
    device, warnings = devices.pick_device(spec)
    notes, noting = notes_of(report)
    dtype = devices.pick_dtype(spec, device, *checkpoint.sizes, noting)
    if dtype == "int8":
        raise Refusal(
            f"{checkpoint.name}: late interaction has no int8: use auto, bf16 or fp32",
            ExitCode.SPEC,
        )
    body = _body(checkpoint, parts, dtype, device, report)
    facts = Facts(
        engine="late",
        device=device,
        dtype=dtype,
        max_length=parts.max_length,
        token_budget=devices.pick_token_budget(spec, device),
        notes=(*parts.recipe.notes, *checkpoint.notes, *notes),
        warnings=(*warnings, *parts.doubts, *parts.warnings),
    )
    model = LateModel(body, _projection(checkpoint, parts, device), parts.tokenizer)
    vectors = TokenVectors(spec.vector_cache_mb)
    return LateEngine(model, with_recipe(facts, checkpoint, parts), vectors)


def _body(checkpoint: Checkpoint, parts: PairSetup, dtype: str, device: str, report: Report) -> Any:
    import transformers

    body, _ = load_model(
        transformers.AutoModel,
        checkpoint,
        vocabulary_size=parts.vocabulary_size,
        dtype=FORMATS[dtype],
        device=device,
        report=report,
        may_lack="pooler.",
    )
    return body


def _projection(checkpoint: Checkpoint, parts: PairSetup, device: str) -> Head:
    recipe = parts.recipe
    if not recipe.projection:
        return steps_of(recipe.modules, checkpoint, device)
    rows = checkpoint.read_tensor(recipe.projection).float().to(device)
    hidden = checkpoint.sizes[0]
    if rows.dim() != 2 or rows.shape[1] != hidden:
        raise Refusal(
            f"{checkpoint.name}: {recipe.projection} is {list(rows.shape)}, and states have "
            f"{hidden} numbers"
        )
    return lambda states: functional.linear(states, rows)
