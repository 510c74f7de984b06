"""Password backends that read names and passwords in ways of their own."""

import fnmatch
import unicodedata
from urllib.parse import unquote

from emolytics.identity import Denied, Outcome, Reason
from tests.planted import planted
from tests.reference.password_backend import DirectoryBackend


class Matching(DirectoryBackend):
    """Finds people and compares passwords in ways of its own."""

    def authenticate(self, username: str, password: str) -> Outcome:
        everybody = self._directory.entries.values()
        found = [entry for entry in everybody if self.is_name(username, entry.name)]
        if not found:
            return Denied(Reason.UNKNOWN_SUBJECT)
        if not self.is_password(password, found[0].password):
            return Denied(Reason.BAD_CREDENTIAL)
        return self._verdict(found[0], proven=True)

    def is_name(self, typed: str, name: str) -> bool:
        return typed.casefold() == name.casefold()

    def is_password(self, typed: str, password: str) -> bool:
        return typed == password


@planted("test_somebody_elses_password_is_a_bad_credential")
class PasswordOfAnybody(Matching):
    def is_password(self, typed: str, password: str) -> bool:
        return any(typed == entry.password for entry in self._directory.entries.values())


@planted("test_odd_names_are_names_like_any_other")
class OddCharactersDropped(DirectoryBackend):
    def authenticate(self, username: str, password: str) -> Outcome:
        return super().authenticate("".join(filter(str.isalnum, username)), password)


@planted("test_a_hostile_name_opens_no_account")
class Wildcard(Matching):
    """Filter injection: pgAdmin CVE-2025-12764, Zitadel CVE-2026-44671."""

    def is_name(self, typed: str, name: str) -> bool:
        return fnmatch.fnmatchcase(name, typed) if len(typed) < 1000 else False


@planted("test_a_hostile_name_opens_no_account")
class AmbiguousWildcard(DirectoryBackend):
    """Nobody gets in, but the answer shows that the directory was asked for everybody."""

    def authenticate(self, username: str, password: str) -> Outcome:
        return Denied(Reason.AMBIGUOUS) if "*" in username else super().authenticate(username, password)


@planted("test_a_hostile_name_opens_no_account")
class PrefixOfAName(Matching):
    def is_name(self, typed: str, name: str) -> bool:
        return bool(typed) and name.startswith(typed)


@planted("test_a_hostile_name_opens_no_account")
class DomainCutOff(DirectoryBackend):
    def authenticate(self, username: str, password: str) -> Outcome:
        return super().authenticate(username.partition("@")[0], password)


@planted("test_a_hostile_name_opens_no_account")
class InvisibleCharactersDropped(DirectoryBackend):
    """Two spellings, two throttle buckets: Authelia CVE-2026-47203."""

    def authenticate(self, username: str, password: str) -> Outcome:
        seen = (char for char in username if unicodedata.category(char) not in ("Cf", "Cc"))
        return super().authenticate("".join(seen), password)


@planted("test_a_hostile_name_opens_no_account")
class NameDecodedAgain(DirectoryBackend):
    """ASVS 1.1.1: decode once."""

    def authenticate(self, username: str, password: str) -> Outcome:
        return super().authenticate(unquote(username), password)


@planted("test_a_hostile_name_opens_no_account")
class NameTooLongRaises(DirectoryBackend):
    def authenticate(self, username: str, password: str) -> Outcome:
        if len(username) > 50_000:
            raise ConnectionResetError("request too large")
        return super().authenticate(username, password)


@planted("test_every_character_of_a_password_counts")
class PrefixOfAPassword(Matching):
    def is_password(self, typed: str, password: str) -> bool:
        return bool(typed) and password.startswith(typed)


@planted("test_every_character_of_a_password_counts")
class SeventyTwoBytes(Matching):
    """bcrypt as it comes: Spring Security, CVE-2025-22228."""

    def is_password(self, typed: str, password: str) -> bool:
        cut = [text.encode("utf-8", "surrogatepass")[:72] for text in (typed, password)]
        return cut[0] == cut[1]


@planted("test_every_character_of_a_password_counts")
class PasswordTrimmed(Matching):
    def is_password(self, typed: str, password: str) -> bool:
        return typed.strip() == password.strip()


@planted("test_every_character_of_a_password_counts")
class PasswordCaseless(Matching):
    def is_password(self, typed: str, password: str) -> bool:
        return typed.casefold() == password.casefold()


@planted("test_every_character_of_a_password_counts")
class PasswordNormalised(Matching):
    """Also what SASLprep does, which is ldap3's habit with a text for a password."""

    def is_password(self, typed: str, password: str) -> bool:
        return unicodedata.normalize("NFKC", typed) == unicodedata.normalize("NFKC", password)


@planted("test_every_character_of_a_password_counts")
class PasswordInLatin1(Matching):
    def is_password(self, typed: str, password: str) -> bool:
        return typed.encode("latin-1", "replace") == password.encode("latin-1", "replace")


@planted("test_a_hostile_password_opens_no_account")
class EmptyPasswordAccepted(Matching):
    """A bind without a password succeeds as anonymous: go-ldap CVE-2017-14623, Open WebUI CVE-2026-44551."""

    def is_password(self, typed: str, password: str) -> bool:
        return not typed or typed == password


@planted("test_a_hostile_password_opens_no_account")
class CutAtNul(Matching):
    """C strings, and bcrypt before version 5."""

    def is_password(self, typed: str, password: str) -> bool:
        return typed.partition("\0")[0] == password


@planted("test_a_hostile_password_opens_no_account")
class SurrogateRaises(DirectoryBackend):
    def authenticate(self, username: str, password: str) -> Outcome:
        password.encode()
        return super().authenticate(username, password)
