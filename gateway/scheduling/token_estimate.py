"""The estimated number of tokens of a text, before it is tokenized. Pure.

The gateway has no tokenizer, and needs only a cost: for the order of the queue, the size of jobs
and admission. A pair costs its prompt (reported by the shard, exact) and a number of tokens per
byte of its text (learnt from the answers: English has about 0.25, Russian 0.15 to 0.3, code more).
Both are kept apart: in a run of tiny requests nearly all tokens are prompt, and every byte would
look expensive. Where pairs share their prefix, the query costs once what none of its documents
costs again.
"""

import math
from dataclasses import dataclass, replace

from gateway.domain.request import LongDocuments
from shards.wire.facts import Facts

_FIRST_TOKENS_PER_BYTE = 0.3
_LOWEST, _HIGHEST = 0.02, 1.5  # no text of any language and tokenizer lies outside for long
_LEARNING_RATE = 0.1  # of answer after answer; the first few have equal weight
_FULL_WEIGHT_BYTES = 2000  # an answer about less text has less weight
_SMALLEST_ROOM_SHARE = 16  # of the limit; with passages, a query that leaves less is rejected


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEstimate:
    """The cost of a pair of one model.

    Attributes:
        prompt_tokens: the cost of an empty pair.
        shared_tokens: further prompt tokens, which cost nothing because all pairs share them; 0
            where pairs share nothing, so that each pair pays for its query.
        max_length: the highest cost of a pair; 0 until a shard has reported it.
        tokens_per_byte: the density of the texts so far.
        learnt: the sum of the weights of the answers so far.
    """

    prompt_tokens: int = 1
    shared_tokens: int = 0
    max_length: int = 0
    tokens_per_byte: float = _FIRST_TOKENS_PER_BYTE
    learnt: float = 0.0

    @property
    def shares_queries(self) -> bool:
        """True if the pairs of a query pay for it together."""
        return self.shared_tokens > 0

    def text_tokens(self, text_bytes: int) -> int:
        """Return the estimated tokens of a text of so many bytes."""
        return int(text_bytes * self.tokens_per_byte)

    def tokens(self, text_bytes: int) -> int:
        """Return the cost of a pair that pays for so many bytes of text."""
        tokens = self.prompt_tokens + self.text_tokens(text_bytes)
        return min(tokens, self.max_length) if self.max_length else tokens

    def tokens_in_passages(
        self,
        *,
        asked_bytes: int,
        document_bytes: int,
        reading: LongDocuments,
        most_tokens: int = 0,
        is_shared: bool = False,
    ) -> int:
        """Return the cost of a document that is read in passages if it is too long.

        Args:
            asked_bytes: of query and instruction, which each passage is read with.
            document_bytes: of the document.
            reading: the size and number of passages.
            most_tokens: the most tokens of a document that are read; 0 for all.
            is_shared: whether passages do not pay for query and instruction.
        """
        asked = self.text_tokens(asked_bytes)
        paid = self.prompt_tokens + (0 if is_shared else asked)
        document = self.text_tokens(document_bytes)
        document = min(document, most_tokens or document)
        if not self.max_length:
            return paid + document
        room = self.max_length - self.shared_tokens - self.prompt_tokens - asked
        room = max(room, self.max_length // _SMALLEST_ROOM_SHARE, 1)
        window = min(room, reading.passage_tokens or room)
        if document <= window:
            return min(paid + document, self.max_length)
        step = window - min(reading.passage_overlap, window // 2)
        passages = math.ceil((document - window) / step) + 1
        passages = min(passages, reading.most_passages or passages)
        return passages * min(paid + window, self.max_length)

    def with_facts(self, facts: Facts) -> "TokenEstimate":
        """Return the estimate with the prompt and the limit of a loaded model."""
        found = (facts.prompt_tokens, facts.shared_tokens, facts.max_length)
        if found == (self.prompt_tokens, self.shared_tokens, self.max_length):
            return self
        prompt_tokens, shared_tokens, max_length = found
        return replace(
            self, prompt_tokens=prompt_tokens, shared_tokens=shared_tokens, max_length=max_length
        )

    def learn(self, *, pairs: int, text_bytes: int, tokens: int) -> "TokenEstimate":
        """Return the estimate after an answer.

        Args:
            pairs: the pairs of the answered job.
            text_bytes: the bytes of their texts.
            tokens: all their tokens, shared ones included.
        """
        if not text_bytes:
            return self
        prompts = pairs * (self.prompt_tokens + self.shared_tokens)
        seen = max(_LOWEST, min(_HIGHEST, (tokens - prompts) / text_bytes))
        weight = min(1.0, text_bytes / _FULL_WEIGHT_BYTES)
        rate = max(_LEARNING_RATE, 1 / (1 + self.learnt))
        step = (seen - self.tokens_per_byte) * rate * weight
        return replace(
            self, tokens_per_byte=self.tokens_per_byte + step, learnt=self.learnt + weight
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """The values of one model, at one moment, by which a request is cut into jobs.

    Attributes:
        estimate: the cost of pairs.
        replicas: the number of ready replicas.
        token_budget: the most tokens of one batch.
        long_documents: the default for documents that are too long.
    """

    estimate: TokenEstimate
    replicas: int
    token_budget: int
    long_documents: LongDocuments
