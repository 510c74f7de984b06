"""How a check says no, deep inside; `backend.py` turns it into a denial."""

from emolytics.identity import Denied, Reason


class Rejected(Exception):
    """The answer of the provider, or the person, is not accepted. The text is for the log."""

    def __init__(
        self, detail: str, reason: Reason = Reason.BAD_CALLBACK, message: str = "", subject: str = ""
    ) -> None:
        """`message` is for the person: only with a `subject`, which the provider has vouched for by then."""
        self.reason = reason
        self.message = message
        self.subject = subject
        super().__init__(detail)

    def at_sign_in(self, step: str) -> Denied:
        """The denial of somebody who was at the provider just now."""
        return Denied(
            self.reason,
            str(self),
            self.message,
            credential_proven=bool(self.subject),
            subject=self.subject,
            step=step,
        )

    def unproven(self) -> Denied:
        """The denial of somebody who has shown nothing, or not now."""
        return Denied(self.reason, str(self), subject=self.subject)


def printable(text: object, length: int = 200) -> str:
    """Foreign text for the log: cut, and without anything that could forge a line of it."""
    return "".join(char if char.isprintable() else "?" for char in str(text)[: length + 1])[:length]
