"""How many tokens a text will be, before anyone has tokenised it. Pure.

The gateway has no tokenizer, and needs only a cost: for the order in the line, the size of jobs and
the door. A pair costs what the prompt takes (told by the shard, exact) and so many tokens per byte
of its text (learnt from the answers: English has about 0.25, Russian 0.15 to 0.3, code more). The two
are kept apart, or a run of tiny requests, whose tokens are all prompt, would make every byte dear.
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
        max_length: the most a pair can cost; 0 while it is not known.
    """

    def __init__(self) -> None:
        self.prompt_tokens = 1
        self.max_length = 0
        self._tokens_per_byte = _FIRST_TOKENS_PER_BYTE
        self._learnt = 0.0  # answers of full weight

    def tokens(self, text_bytes: int) -> int:
        """Return what a pair with so many bytes of text should cost."""
        tokens = self.prompt_tokens + int(text_bytes * self._tokens_per_byte)
        return min(tokens, self.max_length) if self.max_length else tokens

    def tokens_in_passages(
        self,
        *,
        asked_bytes: int,
        document_bytes: int,
        reading: LongDocuments,
        most_tokens: int = 0,
    ) -> int:
        """Return what a document should cost that is read in passages if it is too long.

        Args:
            asked_bytes: of query and instruction, which each passage is read with.
            document_bytes: of the document.
            reading: how passages are made.
            most_tokens: the most tokens of a document that are read; 0 for all.
        """
        asked = self.prompt_tokens + int(asked_bytes * self._tokens_per_byte)
        document = int(document_bytes * self._tokens_per_byte)
        document = min(document, most_tokens or document)
        if not self.max_length:
            return asked + document
        room = max(self.max_length - asked, self.max_length // _SMALLEST_ROOM_SHARE, 1)
        window = min(room, reading.passage_tokens or room)
        if document <= window:
            return min(asked + document, self.max_length)
        step = window - min(reading.passage_overlap, window // 2)
        passages = math.ceil((document - window) / step) + 1
        passages = min(passages, reading.most_passages or passages)
        return passages * min(asked + window, self.max_length)

    def learn(self, *, pairs: int, text_bytes: int, tokens: int) -> None:
        """Note what an answered job of so many pairs and bytes has cost."""
        if not text_bytes:
            return
        seen = (tokens - pairs * self.prompt_tokens) / text_bytes
        seen = max(_LOWEST, min(_HIGHEST, seen))
        weight = min(1.0, text_bytes / _FULL_WEIGHT_BYTES)
        rate = max(_LEARNING_RATE, 1 / (1 + self._learnt))
        self._tokens_per_byte += (seen - self._tokens_per_byte) * rate * weight
        self._learnt += weight
