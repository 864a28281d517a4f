"""Every error the library raises on purpose; each carries one sentence that says what to do."""

from typing import Any


class EacError(Exception):
    """Base of all errors of this library.

    Attributes:
        partial: What had been reached when the error was raised (None if nothing was).
    """

    def __init__(self, message: str, *, partial: Any = None) -> None:
        """Store the sentence and whatever had been reached."""
        super().__init__(message)
        self.partial = partial

    def __reduce__(self) -> tuple[Any, ...]:
        """Between processes all but what was reached travels, which may not be picklable."""
        others = {name: value for name, value in vars(self).items() if name != "partial"}
        return type(self), (str(self),), others or None


class InvalidInputError(EacError, ValueError):
    """An argument was refused before any work was done."""


class OracleError(EacError):
    """The oracle failed, or its answer was not one finite row for each row asked."""


class QueryBudgetError(EacError):
    """Asking would have exceeded the allowed number of queries."""


class FileFormatError(EacError):
    """A file could not be read as what its name claims."""


class InterruptedRecoveryError(EacError):
    """A recovery was stopped before its end; `partial` holds what was reached."""
