"""How large a batch may be, after the device or the machine has run out of memory. Pure.

Memory that other programs take, or a batch of unlucky shape, makes a budget too large that was right
before. So it is halved at once when a batch does not fit, and raised by a sixteenth after each
hundred batches that did, up to what it was: down fast, up slowly, as TCP does with its window.
"""

_BATCHES_BEFORE_RAISE = 100
_RAISE_SHARE = 16


class TokenBudget:
    """The most tokens of one batch.

    Attributes:
        tokens: what holds now.
    """

    def __init__(self, tokens: int, first_tokens: int = 0) -> None:
        """Begin with `first_tokens`, if that is not 0, and come to `tokens`."""
        self.tokens = min(tokens, first_tokens or tokens)
        self._full = tokens
        self._good_batches = 0

    def did_not_fit(self, tokens: int) -> None:
        """Note that a batch of so many tokens was too large."""
        self.tokens = max(1, min(self.tokens, tokens) // 2)
        self._good_batches = 0

    def fitted(self) -> None:
        """Note that a batch was not too large."""
        if self.tokens == self._full:
            return
        self._good_batches += 1
        if self._good_batches >= _BATCHES_BEFORE_RAISE:
            self._good_batches = 0
            self.tokens = min(self._full, self.tokens + max(1, self._full // _RAISE_SHARE))
