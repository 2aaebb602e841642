"""How many tokens a text will be, before anyone has tokenised it. Pure.

The gateway has no tokenizer, and needs only a cost: for the order in the line, the size of jobs and
the door. A pair costs what the prompt takes (told by the shard, exact) and so many tokens per byte
of its text (learnt from the answers: English has about 0.25, Russian 0.15 to 0.3, code more). The two
are kept apart, or a run of tiny requests, whose tokens are all prompt, would make every byte dear.
Where pairs share what they begin with, the query costs once what all its documents do not cost again.
"""

import math

from gateway.domain import LongDocuments

_FIRST_TOKENS_PER_BYTE = 0.3
_LOWEST, _HIGHEST = 0.02, 1.5  # no text of any language and tokenizer lies outside for long
_LEARNING_RATE = 0.1  # of answer after answer; the first few count as much as each other
_FULL_WEIGHT_BYTES = 2000  # an answer about less text than this says less
_SMALLEST_ROOM_SHARE = 16  # of the limit; a query that leaves less is refused with passages


class TokenEstimate:
    """What a pair of one model costs.

    Attributes:
        prompt_tokens: what even an empty pair costs.
        shared_tokens: what it has beside, which costs nothing, as all pairs share it; if 0, pairs
            share nothing, and each pays for its query.
        max_length: the most a pair can cost; 0 while it is not known.
    """

    def __init__(self) -> None:
        self.prompt_tokens = 1
        self.shared_tokens = 0
        self.max_length = 0
        self._tokens_per_byte = _FIRST_TOKENS_PER_BYTE
        self._learnt = 0.0  # answers of full weight

    @property
    def shares_queries(self) -> bool:
        """Whether the pairs of a query pay for it together."""
        return self.shared_tokens > 0

    def text_tokens(self, text_bytes: int) -> int:
        """Return how many tokens a text of so many bytes should be."""
        return int(text_bytes * self._tokens_per_byte)

    def tokens(self, text_bytes: int) -> int:
        """Return what a pair with so many bytes of text that it pays for should cost."""
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
        """Return what a document should cost that is read in passages if it is too long.

        Args:
            asked_bytes: of query and instruction, which each passage is read with.
            document_bytes: of the document.
            reading: how passages are made.
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

    def learn(self, *, pairs: int, text_bytes: int, tokens: int) -> None:
        """Note how many tokens an answered job of so many pairs and bytes had, shared ones and all."""
        if not text_bytes:
            return
        prompts = pairs * (self.prompt_tokens + self.shared_tokens)
        seen = (tokens - prompts) / text_bytes
        seen = max(_LOWEST, min(_HIGHEST, seen))
        weight = min(1.0, text_bytes / _FULL_WEIGHT_BYTES)
        rate = max(_LEARNING_RATE, 1 / (1 + self._learnt))
        self._tokens_per_byte += (seen - self._tokens_per_byte) * rate * weight
        self._learnt += weight
