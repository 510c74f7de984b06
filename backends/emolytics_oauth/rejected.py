"""How a check says no, deep inside; `backend.py` turns it into a denial."""

from emolytics.identity import Denied, Reason


class Rejected(Exception):  # noqa: N818 - the provider's answer is rejected; nothing of ours failed
    """The answer of the provider, or the person, is not accepted. The text is for the log."""

    def __init__(
        self, detail: str, reason: Reason = Reason.BAD_CALLBACK, message: str = "", subject: str = ""
    ) -> None:
        self.reason = reason
        self.message = message
        self.subject = subject
        super().__init__(detail)

    def denied(self) -> Denied:
        """The denial. A subject is set only after the provider has vouched for it."""
        proven = bool(self.subject)
        return Denied(self.reason, str(self), self.message, credential_proven=proven, subject=self.subject)


def printable(text: object, length: int = 200) -> str:
    """Foreign text for the log: cut, and without anything that could forge a line of it."""
    return "".join(char if char.isprintable() else "?" for char in str(text)[: length + 1])[:length]
