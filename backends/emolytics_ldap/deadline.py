"""One deadline for a whole sign-in, however many requests and servers it takes."""

import time


class Deadline:
    """A moment on the monotonic clock."""

    __slots__ = ("_end",)

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until then; zero or less when it has passed."""
        return self._end - time.monotonic()

    def portion(self, parts: int) -> "Deadline":
        """A deadline of its own for the first of `parts` that share what is left."""
        return Deadline(self.left() / parts)
