"""How many tokens a text will be, before anyone has tokenised it. Pure.

The gateway has no tokenizer, and needs only a cost: for the order in the line, the size of jobs and
the door. A pair costs what the prompt takes (told by the shard, exact) and so many tokens per byte
of its text (learnt from the answers: English has about 0.25, Russian 0.15 to 0.3, code more). The two
are kept apart, or a run of tiny requests, whose tokens are all prompt, would make every byte dear.
"""

_FIRST_TOKENS_PER_BYTE = 0.3
_LOWEST, _HIGHEST = 0.02, 1.5  # no text of any language and tokenizer lies outside for long
_LEARNING_RATE = 0.1
_FULL_WEIGHT_BYTES = 2000  # an answer about less text than this says less


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

    def tokens(self, text_bytes: int) -> int:
        """Return what a pair with so many bytes of text should cost."""
        tokens = self.prompt_tokens + int(text_bytes * self._tokens_per_byte)
        return min(tokens, self.max_length) if self.max_length else tokens

    def learn(self, *, pairs: int, text_bytes: int, tokens: int) -> None:
        """Note what an answered job of so many pairs and bytes has cost."""
        if not text_bytes:
            return
        seen = (tokens - pairs * self.prompt_tokens) / text_bytes
        seen = max(_LOWEST, min(_HIGHEST, seen))
        weight = _LEARNING_RATE * min(1.0, text_bytes / _FULL_WEIGHT_BYTES)
        self._tokens_per_byte += (seen - self._tokens_per_byte) * weight
