"""When work has to end."""

import time


def is_over(deadline: float | None) -> bool:
    """Whether a value of `time.monotonic()` has passed; never for None."""
    return deadline is not None and time.monotonic() > deadline
