"""Passwords that were hashed elsewhere: read as they are, replaced once, bounded, and told apart by no clock."""

import base64
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import bcrypt
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update
from werkzeug.security import generate_password_hash

from emolytics.commands import flask_group
from emolytics.equal_work import EqualWork
from emolytics.hashing import Hasher
from emolytics.schema import local_accounts
from emolytics.stored_hashes import read
from tests.portal import PASSWORD, Portal, sign_in_json
from tests.test_hashing import stored_by_others, work

COST = 5


def django_pbkdf2(password: str, iterations: int = 1000, function: str = "sha256") -> str:
    digest = hashlib.pbkdf2_hmac(function, password.encode(), b"seasalt", iterations)
    return f"pbkdf2_{function}${iterations}$seasalt${base64.b64encode(digest).decode()}"


def django_bcrypt(password: str) -> str:
    prehashed = hashlib.sha256(password.encode()).hexdigest().encode()
    return "bcrypt_sha256$" + bcrypt.hashpw(prehashed, bcrypt.gensalt(4)).decode()


def passlib_1(password: str, kind: str = "2b") -> str:
    prehashed = base64.b64encode(hashlib.sha256(password.encode()).digest())
    salt, digest = bcrypt.gensalt(4).decode()[7:], ""
    digest = bcrypt.hashpw(prehashed, f"$2b$04${salt}".encode()).decode()[29:]
    return f"$bcrypt-sha256${kind},4${salt}${digest}"


def plain(password: str, kind: str = "2b") -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode().replace("$2b$", f"${kind}$", 1)


WRITERS: dict[str, Callable[[str], str]] = {
    "bcrypt 2a": lambda password: plain(password, "2a"),
    "bcrypt 2b": plain,
    "bcrypt 2y": lambda password: plain(password, "2y"),
    "passlib's bcrypt-sha256": lambda password: stored_by_others(password, cost=4),
    "passlib's older bcrypt-sha256": passlib_1,
    "werkzeug's scrypt": lambda password: generate_password_hash(password, "scrypt:1024:8:1"),
    "werkzeug's pbkdf2": lambda password: generate_password_hash(password, "pbkdf2:sha256:1000"),
    "werkzeug's pbkdf2 of sha512": lambda password: generate_password_hash(password, "pbkdf2:sha512:1000"),
    "Django's pbkdf2": django_pbkdf2,
    "Django's pbkdf2 of sha1": lambda password: django_pbkdf2(password, function="sha1"),
    "Django's bcrypt_sha256": django_bcrypt,
    "Django's bcrypt": lambda password: "bcrypt$" + plain(password),
}
# Of the projects' own tests and pages, with their default cost; the others are written above after the formats.
PUBLISHED = {
    "Django, pbkdf2": (
        "lètmein",
        "pbkdf2_sha256$1000000$seasalt$r1uLUxoxpP2Ued/qxvmje7UH9PUJBkRrvf9gGPL7Cps=",
    ),
    "Django, bcrypt_sha256": (
        "password",
        "bcrypt_sha256$$2b$12$VADBCPlCt0wMa2zjUgaXl.jnrvoNt/kgjtRY7i./fo0V2IEp1l6f2",
    ),
    "passlib, bcrypt-sha256 v1": (
        "password",
        "$bcrypt-sha256$2a,5$5Hg1DKFqPE8C2aflZ5vVoe$12BjNE0p7axMg55.Y/mHsYiVuFBDQyu",
    ),
    "werkzeug's default": ("x", generate_password_hash("x")),
}
DIGEST_64, DIGEST_32 = "0" * 128, "0" * 64
BASE64 = base64.b64encode(bytes(32)).decode()
UNREADABLE = {
    "scrypt of a gigabyte": f"scrypt:1048576:8:1$salt${DIGEST_64}",
    "scrypt with N of 2**31": f"scrypt:2147483648:8:1$salt${DIGEST_64}",
    "scrypt many times over": f"scrypt:32768:8:999$salt${DIGEST_64}",
    "scrypt of wide blocks": f"scrypt:32768:999:1$salt${DIGEST_64}",
    "scrypt, N no power of two": f"scrypt:1000:8:1$salt${DIGEST_64}",
    "scrypt, N of 1": f"scrypt:1:8:1$salt${DIGEST_64}",
    "scrypt, nothing": f"scrypt:0:0:0$salt${DIGEST_64}",
    "scrypt, negative": f"scrypt:-2:8:1$salt${DIGEST_64}",
    "scrypt, digits of another script": f"scrypt:١٠٢٤:8:1$salt${DIGEST_64}",
    "scrypt, cut": f"scrypt:1024:8:1$salt${DIGEST_64[:-1]}",
    "scrypt without salt": f"scrypt:1024:8:1$${DIGEST_64}",
    "pbkdf2 of years": f"pbkdf2:sha256:99999999$salt${DIGEST_32}",
    "pbkdf2, no iteration": f"pbkdf2:sha256:0$salt${DIGEST_32}",
    "pbkdf2 by another function": f"pbkdf2:md5:1000$salt${DIGEST_32[:32]}",
    "pbkdf2, the digest of another function": f"pbkdf2:sha512:1000$salt${DIGEST_32}",
    "Django of years": f"pbkdf2_sha256$99999999$salt${BASE64}",
    "Django, not base64": f"pbkdf2_sha256$1000$salt${BASE64[:-4]}====",
    "Django's unusable password": "!d5hT0q5PyFkLZ7oJ3u9pXk4wVYtN1mAo8rGcQeSb",
    "Django's argon2": "argon2$argon2id$v=19$m=102400,t=2,p=8$c2FsdA$aGFzaA",
    "Django's bcrypt of cost 31": "bcrypt_sha256$$2b$31$VADBCPlCt0wMa2zjUgaXl.jnrvoNt/kgjtRY7i./fo0V2IEp1l6f2",
    "MD5": "md5$salt$5f4dcc3b5aa765d61d8327deb882cf99",
    "crypt": "$6$salt$" + "a" * 86,
    "a long text": "scrypt:1024:8:1$" + "a" * 10_000_000,
    "the password itself": PASSWORD,
}


@pytest.fixture
def hasher() -> Iterator[Hasher]:
    hasher = Hasher(cost=COST, concurrency=1)
    yield hasher
    hasher.close()


@pytest.fixture
def costs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The cost of every call of bcrypt, in order; what a comparison by another function takes is set to a second."""
    called: list[int] = []
    hashpw = bcrypt.hashpw

    def counting(password: bytes, salt: bytes) -> bytes:
        hashed = hashpw(password, salt)
        called.append(int(salt[4:6]))
        return hashed

    monkeypatch.setattr(bcrypt, "hashpw", counting)
    return called


def make_hash_take(monkeypatch: pytest.MonkeyPatch, units: float) -> None:
    """As if each comparison took so many units of bcrypt's work, whatever it was and whatever the machine does."""
    monkeypatch.setattr(EqualWork, "_unit", lambda _: 1 / units)
    ticks = iter(range(10**6))
    monkeypatch.setattr("emolytics.equal_work.time.thread_time", lambda: next(ticks))


@pytest.mark.parametrize("password", [PASSWORD, "Grüße aus Köln", "x" * 72, " "])
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_the_right_password_matches_and_no_other(
    hasher: Hasher, write: Callable[[str], str], password: str
) -> None:
    stored = write(password)

    assert hasher.verify(stored, password)
    assert not hasher.verify(stored, password[:-1])
    assert not hasher.verify(stored, password + "x" if len(password) < 72 else "y" + password)


@pytest.mark.parametrize(("password", "stored"), PUBLISHED.values(), ids=PUBLISHED)
def test_what_others_have_published_is_read(hasher: Hasher, password: str, stored: str) -> None:
    assert hasher.verify(stored, password)
    assert not hasher.verify(stored, password + "x")


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_hash_from_elsewhere_is_replaced_by_ours_once(hasher: Hasher, write: Callable[[str], str]) -> None:
    replacement = hasher.verify(write(PASSWORD), PASSWORD).replacement

    assert replacement is not None
    assert replacement.startswith("$bcrypt-sha256$v=2,t=2b,r=5$")
    assert hasher.verify(replacement, PASSWORD).replacement is None
    assert hasher.verify(write(PASSWORD), "wrong").replacement is None


@pytest.mark.parametrize("stored", UNREADABLE.values(), ids=UNREADABLE)
def test_a_hash_that_asks_for_too_much_or_is_none_is_not_computed(
    hasher: Hasher, costs: list[int], stored: str
) -> None:
    """A row of a database can hold no thread for minutes; a wrong password costs the same."""
    assert read(stored) is None
    assert not hasher.verify(stored, PASSWORD)
    assert work(costs) == 2**COST


def test_parameters_that_the_library_refuses_are_a_wrong_password(hasher: Hasher, costs: list[int]) -> None:
    assert not hasher.verify(f"scrypt:65536:1:1$salt${DIGEST_64}", PASSWORD)
    assert work(costs) == 2**COST


@given(
    st.text(max_size=200)
    | st.from_regex(r"(scrypt|pbkdf2|bcrypt)[:_$\w]{0,40}\$\w{0,20}\$\w*", fullmatch=True)
)
def test_no_stored_text_is_an_error(stored: str) -> None:
    found = read(stored)

    assert found is None or found.cost <= 16


class TestSameWork:
    """ASVS 6.3.8, CVE-2016-2513: an account is told neither by an old cost, nor a dear one, nor another scheme."""

    def test_a_hash_of_a_higher_cost_makes_every_failure_as_dear(
        self, hasher: Hasher, costs: list[int]
    ) -> None:
        dear = stored_by_others("right", cost=COST + 2)
        hasher.verify(dear, "wrong")
        spent = []

        for stored in (dear, None, "broken", stored_by_others("right"), plain("right")):
            costs.clear()
            hasher.verify(stored, "wrong")
            spent.append(work(costs))

        assert spent == [2 ** (COST + 2)] * 5

    def test_a_cheaper_function_is_made_up_for(
        self, hasher: Hasher, costs: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_hash_take(monkeypatch, units=16)

        hasher.verify(django_pbkdf2("right"), "wrong")

        assert work(costs) == 2**COST - 16

    def test_a_dearer_function_makes_every_failure_as_dear(
        self, hasher: Hasher, costs: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_hash_take(monkeypatch, units=48)

        hasher.verify(django_pbkdf2("right"), "wrong")
        after_foreign = work(costs)
        hasher.verify(None, "wrong")

        assert (after_foreign, work(costs)) == (0, 48)

    def test_of_several_measurements_the_shortest_counts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(EqualWork, "_unit", lambda _: 0.001)
        account = EqualWork(cost=4)

        assert account.done("scrypt", 0, 0.064) == 64
        assert account.done("scrypt", 0, 0.128) == 64
        assert account.done("scrypt", 0, 0.048) == 48

    def test_a_unit_is_measured_once_on_the_machine_itself(self, costs: list[int]) -> None:
        account = EqualWork(cost=4)

        first, second = account.done("a", 0, 0.01), account.done("b", 0, 0.01)

        assert first == second > 1
        assert costs == [9, 9]


class TestMovingAccounts:
    @pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
    def test_a_person_signs_in_with_the_old_password_and_has_a_new_hash(
        self, portal: Portal, write: Callable[[str], str]
    ) -> None:
        given = write(PASSWORD)
        result = add(portal, "grace", given)

        assert result.exit_code == 0, result.output
        assert sign_in_json(portal.client(), "grace", "wrong").status_code == 401
        assert stored(portal, "grace") == given
        assert sign_in_json(portal.client(), "grace").status_code == 200
        assert stored(portal, "grace").startswith("$bcrypt-sha256$v=2,t=2b,r=4$")
        assert sign_in_json(portal.client(), "grace").status_code == 200

    @pytest.mark.parametrize("given", [*UNREADABLE.values(), ""], ids=[*UNREADABLE, "nothing"])
    def test_what_is_no_hash_is_refused_and_never_repeated(self, portal: Portal, given: str) -> None:
        result = add(portal, "grace", given)

        assert result.exit_code == 1
        assert "no hash" in result.stderr
        assert not given or given[:200] not in result.output
        assert portal.core.users.find("grace") is None

    def test_a_hash_and_a_password_at_once_are_wrong_usage(self, portal: Portal) -> None:
        result = add(portal, "grace", plain(PASSWORD), "--password-stdin")

        assert result.exit_code == 2
        assert portal.core.users.find("grace") is None

    def test_a_row_that_somebody_broke_signs_nobody_in_and_hangs_nobody(
        self, make_portal: Callable[..., Portal]
    ) -> None:
        portal = make_portal(limits={"failures": 1000})
        portal.add_user("ada")
        for broken in UNREADABLE.values():
            with portal.core.database.transaction() as connection:
                connection.execute(update(local_accounts).values(password_hash=broken[:4000]))
            assert sign_in_json(portal.client(), "ada").status_code == 401

    def test_explaining_names_the_scheme_and_shows_neither_salt_nor_digest(self, portal: Portal) -> None:
        given = generate_password_hash(PASSWORD, "scrypt:1024:8:1")
        add(portal, "grace", given)

        steps = str(list(portal.core.backends["local"].explain("grace", None)))  # type: ignore[attr-defined]

        assert "scheme Werkzeug's scrypt" in steps
        assert not [part for part in given.split("$")[1:] if part in steps]


def add(portal: Portal, name: str, stored: str, *options: str) -> Any:
    with portal.app.app_context():
        words = ["user", "add", name, "--hash-stdin", *options]
        return CliRunner().invoke(flask_group, words, input=stored + "\n")


def stored(portal: Portal, name: str) -> str:
    (row,) = [row for row in portal.rows(local_accounts) if row["username"] == name]
    return str(row["password_hash"])
