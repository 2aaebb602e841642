"""The circuit breaker of a store: after failures in a row it is left alone. Pure.

No request tries a store whose breaker is open. A probe in the background does, and its success
closes the breaker.
"""

FAILURES_IN_A_ROW = 5


class Breaker:
    """The state of a store, by the outcomes of its use.

    Attributes:
        reason: the last failure; empty while the breaker is closed.
        opened: the number of times that it has opened.
    """

    def __init__(self, failures_in_a_row: int = FAILURES_IN_A_ROW) -> None:
        self._most = failures_in_a_row
        self._failures = 0
        self.reason = ""
        self.opened = 0

    @property
    def is_open(self) -> bool:
        """True while no request may use the store."""
        return bool(self.reason)

    def succeed(self) -> None:
        """Record an answer; it closes the breaker."""
        self._failures, self.reason = 0, ""

    def fail(self, reason: str) -> None:
        """Record a failure; the last one in a row opens the breaker."""
        self._failures += 1
        if self._failures >= self._most:
            self.open(reason)

    def open(self, reason: str) -> None:
        """Open the breaker, for a failure that does not pass by itself."""
        self.opened += not self.reason
        self.reason = reason
