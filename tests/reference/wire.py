"""The network between a reference backend and its upstream, with the ways in which it fails."""


class WireError(Exception):
    """What the upstream's client library raises: refused, timed out, not understood."""


class GarbledError(WireError):
    """The upstream answered, but not in its protocol."""


class Wire:
    """Counts requests; the suite's verbs for trouble end them."""

    def __init__(self) -> None:
        self._answers_left: float = float("inf")
        self._garbled = False
        self.silent = False

    def take_request(self) -> None:
        if self._garbled:
            raise GarbledError("not an answer")
        if self._answers_left < 1:
            raise WireError("connection refused")
        self._answers_left -= 1

    def go_down(self, after: int = 0) -> None:
        self._answers_left = after

    def hang(self) -> None:
        """The library's own time limit has run out by the time it raises."""
        self._answers_left = 0
        self.silent = True

    def garble(self) -> None:
        self._garbled = True

    def come_back(self) -> None:
        self._answers_left = float("inf")
        self._garbled = False
        self.silent = False
