"""Hashing: a format that others read, every byte counts, the same work whatever was wrong, and a bounded queue."""

import base64
import hashlib
import hmac
import os
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import bcrypt
import pytest

from emolytics.errors import Overloaded
from emolytics.hashing import Hasher
from tests.portal import PASSWORD, Portal, me, sign_in_json

COST = 5

# From the tests of passlib 1.7.4, which defined the format.
PASSLIB_VECTORS = {
    "": "$bcrypt-sha256$v=2,t=2b,r=5$E/e/2AOhqM5W/KJTFQzLce$WFPIZKtDDTriqWwlmRFfHiOTeheAZWe",
    "password": "$bcrypt-sha256$v=2,t=2b,r=5$5Hg1DKFqPE8C2aflZ5vVoe$wOK1VFFtS8IGTrGa7.h5fs0u84qyPbS",
    "t\u00e1\u0411\u2113\u0259": "$bcrypt-sha256$v=2,t=2b,r=5$.US1fQ4TQS.ZTz/uJ5Kyn.$pzzgp40k8reM1CuQb03PvE0IDPQSdV6",
}
PASSWORDS = {
    "plain": PASSWORD,
    "empty": "",
    "one character": "x",
    "72 bytes": "x" * 72,
    "73 bytes": "x" * 73,
    "5,000 bytes": "x" * 5000,
    "1 MB": "x" * 1_000_000,
    "umlauts": "Grüße aus Köln",
    "composed": "caf\u00e9",
    "emoji": "🦊" * 30,
    "NUL": "before\0after",
    "line break": "a\nb",
    "spaces": "  a  ",
    "half a character": "a\ud800",
}
BROKEN = {
    "empty": "",
    "text": "not a hash",
    "cut": "$bcrypt-sha256$v=2,t=2b,r=5$E/e/2AOhqM5W/KJTFQzLce$WFPIZK",
    "no digest": "$2b$05$",
    "cost 99": "$2b$99$E/e/2AOhqM5W/KJTFQzLceWFPIZKtDDTriqWwlmRFfHiOTeheAZWe",
    "cost 31": "$bcrypt-sha256$v=2,t=2b,r=31$E/e/2AOhqM5W/KJTFQzLce$WFPIZKtDDTriqWwlmRFfHiOTeheAZWe",
    "cost 0": "$2b$00$E/e/2AOhqM5W/KJTFQzLceWFPIZKtDDTriqWwlmRFfHiOTeheAZWe",
    "salt with stray bits": "$2b$05$E/e/2AOhqM5W/KJTFQzLcfWFPIZKtDDTriqWwlmRFfHiOTeheAZWe",
    "another scheme": "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$aGFzaA",
    "line break at the end": PASSLIB_VECTORS[""] + "\n",
    "the password itself": PASSWORD,
}


@pytest.fixture
def hasher() -> Iterator[Hasher]:
    hasher = Hasher(cost=COST, concurrency=2)
    yield hasher
    hasher.close()


@pytest.fixture
def costs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The cost of every call of bcrypt, in order."""
    called: list[int] = []
    hashpw = bcrypt.hashpw

    def counting(password: bytes, salt: bytes) -> bytes:
        hashed = hashpw(password, salt)
        called.append(int(salt[4:6]))
        return hashed

    monkeypatch.setattr(bcrypt, "hashpw", counting)
    return called


def work(costs: list[int]) -> int:
    """What these calls cost together: each step of the cost doubles it."""
    return sum(2**cost for cost in costs)


def prehash(password: bytes, salt: str) -> bytes:
    return base64.b64encode(hmac.new(salt.encode(), password, hashlib.sha256).digest())


def stored_by_others(password: str, cost: int = COST) -> str:
    """The same format, written after its published description and without our code."""
    salt = bcrypt.gensalt(cost).decode().rpartition("$")[2]
    full = bcrypt.hashpw(prehash(password.encode(), salt), f"$2b${cost:02}${salt}".encode()).decode()
    return f"$bcrypt-sha256$v=2,t=2b,r={cost}${salt}${full[29:]}"


def plain_bcrypt(password: str, prefix: str = "2b", cost: int = COST) -> str:
    hashed = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(cost)).decode()
    return hashed.replace("$2b$", f"${prefix}$", 1)


class TestFormat:
    @pytest.mark.parametrize(("password", "stored"), PASSLIB_VECTORS.items(), ids=["empty", "ascii", "utf-8"])
    def test_passlibs_own_vectors_verify(self, hasher: Hasher, password: str, stored: str) -> None:
        assert hasher.verify(stored, password)
        assert not hasher.verify(stored, password + "x")

    def test_what_is_written_is_what_others_read(self, hasher: Hasher) -> None:
        stored = hasher.hash(PASSWORD)

        found = re.fullmatch(
            r"\$bcrypt-sha256\$v=2,t=2b,r=5\$([./A-Za-z0-9]{22})\$([./A-Za-z0-9]{31})", stored
        )
        assert found
        salt, digest = found.groups()
        expected = bcrypt.hashpw(prehash(PASSWORD.encode(), salt), f"$2b$05${salt}".encode())
        assert expected.decode() == f"$2b$05${salt}{digest}"

    def test_what_others_write_is_read(self, hasher: Hasher) -> None:
        assert hasher.verify(stored_by_others(PASSWORD), PASSWORD)

    def test_each_hash_has_a_salt_of_its_own(self, hasher: Hasher) -> None:
        assert len({hasher.hash(PASSWORD) for _ in range(20)}) == 20

    def test_the_stored_text_is_short_and_holds_no_password(self, hasher: Hasher) -> None:
        stored = hasher.hash(PASSWORD * 100)

        assert len(stored) < 100
        assert PASSWORD not in stored


class TestEveryByteCounts:
    @pytest.mark.parametrize("password", PASSWORDS.values(), ids=PASSWORDS)
    def test_a_password_matches_itself_and_nothing_near_it(self, hasher: Hasher, password: str) -> None:
        stored = hasher.hash(password)

        assert hasher.verify(stored, password)
        assert hasher.verify(stored, password).replacement is None
        near = {
            password + "x",
            password + "\0",
            password + " ",
            "x" + password,
            password.swapcase(),
            password[:-1],
        }
        assert not any(hasher.verify(stored, other) for other in near - {password})

    @pytest.mark.parametrize("at", [71, 72, 73, 100, 255, 4095])
    def test_a_byte_beyond_the_72_of_bcrypt_counts(self, hasher: Hasher, at: int) -> None:
        """CVE-2025-22228, and Okta's advisory of October 2024."""
        right = "x" * 5000
        wrong = right[:at] + "y" + right[at + 1 :]

        assert not hasher.verify(hasher.hash(right), wrong)

    def test_composed_and_decomposed_are_two_passwords(self, hasher: Hasher) -> None:
        """ASVS 6.2.8: exactly as typed."""
        assert not hasher.verify(hasher.hash("caf\u00e9"), "cafe\u0301")


class TestUpgrade:
    @pytest.mark.parametrize("prefix", ["2a", "2b", "2y"])
    def test_plain_bcrypt_matches_and_is_replaced(self, hasher: Hasher, prefix: str) -> None:
        verdict = hasher.verify(plain_bcrypt(PASSWORD, prefix), PASSWORD)

        assert verdict
        assert verdict.replacement
        assert verdict.replacement.startswith("$bcrypt-sha256$v=2,t=2b,r=5$")
        assert hasher.verify(verdict.replacement, PASSWORD).replacement is None

    def test_plain_bcrypt_of_the_same_or_a_higher_cost_is_replaced_too(self, hasher: Hasher) -> None:
        assert hasher.verify(plain_bcrypt(PASSWORD, cost=COST + 1), PASSWORD).replacement

    def test_a_long_password_of_plain_bcrypt_gets_its_tail_back(self, hasher: Hasher) -> None:
        """What plain bcrypt ignored is part of the password from the next sign-in on."""
        long = "x" * 72 + "tail"

        replacement = hasher.verify(plain_bcrypt(long), long).replacement

        assert hasher.verify(replacement, long)
        assert not hasher.verify(replacement, "x" * 72)

    def test_a_lower_cost_is_raised(self, hasher: Hasher) -> None:
        replacement = hasher.verify(stored_by_others(PASSWORD, cost=4), PASSWORD).replacement

        assert replacement
        assert ",r=5$" in replacement

    def test_a_higher_cost_stays(self, hasher: Hasher) -> None:
        assert hasher.verify(stored_by_others(PASSWORD, cost=COST + 1), PASSWORD).replacement is None

    @pytest.mark.parametrize(
        "stored", [plain_bcrypt(PASSWORD), stored_by_others(PASSWORD, cost=4)], ids=["plain", "lower cost"]
    )
    def test_a_wrong_password_replaces_nothing(self, hasher: Hasher, stored: str) -> None:
        verdict = hasher.verify(stored, "wrong")

        assert not verdict
        assert verdict.replacement is None


class TestSameWork:
    """ASVS 6.3.8. Not the clock is asked, which a busy machine blurs, but bcrypt: how much work was it given?"""

    @pytest.mark.parametrize("stored", BROKEN.values(), ids=BROKEN)
    def test_a_broken_hash_matches_nothing_and_costs_as_much_as_a_wrong_password(
        self, hasher: Hasher, costs: list[int], stored: str
    ) -> None:
        assert not hasher.verify(stored, PASSWORD)
        assert not hasher.verify(stored, "")
        assert work(costs) == 2 * 2**COST

    def test_no_hash_costs_as_much_as_a_wrong_password(self, hasher: Hasher, costs: list[int]) -> None:
        assert not hasher.verify(None, PASSWORD)
        assert work(costs) == 2**COST

    @pytest.mark.parametrize("cost", [COST, 4])
    @pytest.mark.parametrize("write", [stored_by_others, plain_bcrypt])
    def test_a_wrong_password_costs_the_same_whatever_the_hash(
        self, hasher: Hasher, costs: list[int], write: Callable[..., str], cost: int
    ) -> None:
        stored = write("right", cost=cost)
        costs.clear()

        assert not hasher.verify(stored, PASSWORD)
        assert work(costs) == 2**COST

    def test_a_much_lower_cost_is_made_up_for(self, costs: list[int]) -> None:
        hasher = Hasher(cost=9, concurrency=1)
        old = stored_by_others("right", cost=4)
        costs.clear()

        hasher.verify(old, PASSWORD)

        assert work(costs) == 2**9
        hasher.close()

    @pytest.mark.parametrize("password", PASSWORDS.values(), ids=PASSWORDS)
    def test_the_length_of_a_wrong_password_adds_no_bcrypt(
        self, hasher: Hasher, costs: list[int], password: str
    ) -> None:
        hasher.verify(plain_bcrypt("right"), password)
        costs.pop(0)  # the making of the hash

        assert work(costs) == 2**COST

    def test_unknown_and_known_cost_the_same_at_the_sign_in_page(
        self, portal: Portal, costs: list[int]
    ) -> None:
        spent = {}
        for name in ("ada", "nobody", "ada\0", "x" * 5000):
            costs.clear()
            assert sign_in_json(portal.client(), name, "wrong").status_code == 401
            spent[name] = work(costs)

        assert set(spent.values()) == {2**4}


class Gate:
    """Holds every hash until it is opened, and counts those that wait in front of it."""

    def __init__(self) -> None:
        self.opened, self.waiting = threading.Event(), threading.Semaphore(0)

    def __call__(self, password: bytes, salt: bytes) -> bytes:
        self.waiting.release()
        assert self.opened.wait(30)
        return b"$2b$04$" + b"x" * 53


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    monkeypatch.setattr(bcrypt, "hashpw", gate)
    yield gate
    gate.opened.set()


def occupy(hasher: Hasher, gate: Gate, threads: ThreadPoolExecutor) -> list[Future[object]]:
    """Take every place; return when as many as there are hashing threads are at work."""
    calls: list[Future[object]] = [threads.submit(hasher.verify, None, "x") for _ in range(hasher.places)]
    for _ in range(hasher.concurrency):
        assert gate.waiting.acquire(timeout=30)
    while hasher._free._value:
        threading.Event().wait(0.001)
    return calls


class TestBounds:
    def test_one_more_than_there_are_places_is_refused_at_once(self, gate: Gate) -> None:
        hasher = Hasher(cost=4, concurrency=2, places=6)
        with ThreadPoolExecutor(6) as threads:
            calls = occupy(hasher, gate, threads)

            for attempt in (lambda: hasher.verify(None, "x"), lambda: hasher.hash("x")):
                with pytest.raises(Overloaded) as refused:
                    attempt()
                assert refused.value.retry_after > 0

            gate.opened.set()
            assert not any(call.result() for call in calls)
        hasher.close()

    def test_no_more_hashes_are_computed_at_once_than_threads_are_allowed(self, gate: Gate) -> None:
        hasher = Hasher(cost=4, concurrency=2, places=6)
        with ThreadPoolExecutor(6) as threads:
            occupy(hasher, gate, threads)

            assert not gate.waiting.acquire(timeout=0.05)

            gate.opened.set()
        hasher.close()

    def test_places_are_free_again_afterwards(self, hasher: Hasher, monkeypatch: pytest.MonkeyPatch) -> None:
        for _ in range(3 * hasher.places):
            hasher.verify(None, "x")

        monkeypatch.setattr(bcrypt, "hashpw", lambda *_: 1 / 0)
        for _ in range(3 * hasher.places):
            with pytest.raises(ZeroDivisionError):
                hasher.verify(None, "x")

    def test_a_flood_of_sign_ins_leaves_other_pages_alone(
        self, portal: Portal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The one costly thing that a stranger can ask for must not starve the people who are in."""
        ada, gate = portal.signed_in(), Gate()
        monkeypatch.setattr(bcrypt, "hashpw", gate)
        with ThreadPoolExecutor(portal.core.hasher.places) as threads:
            occupy(portal.core.hasher, gate, threads)

            refused = sign_in_json(portal.client(), "ada", "wrong")
            seen = me(ada)

            gate.opened.set()

        assert (refused.status_code, refused.get_json()["error"]) == (503, "backend_unavailable")
        assert int(refused.headers["Retry-After"]) > 0
        assert seen
        assert portal.failures_of("ada") == 0

    def test_by_default_one_processor_is_left_to_the_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for processors, threads in ((1, 1), (2, 1), (8, 7), (None, 1)):
            monkeypatch.setattr(os, "cpu_count", lambda found=processors: found)

            assert Hasher().concurrency == threads

    def test_a_closed_hasher_says_so_and_nothing_about_the_person(self, hasher: Hasher) -> None:
        hasher.close()

        with pytest.raises(Overloaded):
            hasher.verify(None, "x")

    def test_closing_lets_nobody_wait_for_ever(self, gate: Gate) -> None:
        hasher = Hasher(cost=4, concurrency=1, places=6)
        with ThreadPoolExecutor(6) as threads:
            calls = occupy(hasher, gate, threads)

            hasher.close()
            gate.opened.set()

            ends = [type(call.exception()) for call in calls]
        assert sorted(map(str, ends)) == sorted(map(str, [type(None)] + [Overloaded] * 5))


class TestPriority:
    @pytest.mark.parametrize(("already", "expected"), [(0, 10), (5, 10), (15, 15)])
    def test_hashing_threads_are_nicer_than_the_rest_and_never_less_nice_than_they_were(
        self, monkeypatch: pytest.MonkeyPatch, already: int, expected: int
    ) -> None:
        """Raising it is refused to those who may not, and would have ended the thread before its first hash."""
        asked: list[int] = []
        monkeypatch.setattr(os, "getpriority", lambda *_: already)
        monkeypatch.setattr(os, "setpriority", lambda _which, _who, nice: asked.append(nice))
        hasher = Hasher(cost=4, concurrency=1)

        hasher.hash("x")

        assert asked == [expected]
        hasher.close()

    def test_a_system_that_refuses_hashes_all_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: int) -> None:
            raise PermissionError

        monkeypatch.setattr(os, "setpriority", refuse)
        hasher = Hasher(cost=4, concurrency=1)

        assert hasher.hash("x")
        hasher.close()

    def test_the_threads_that_serve_pages_keep_theirs(
        self, hasher: Hasher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[int] = []

        def hashpw(password: bytes, salt: bytes) -> bytes:
            seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
            return salt + b"x" * 31

        monkeypatch.setattr(bcrypt, "hashpw", hashpw)
        before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

        hasher.verify(None, "x")

        assert seen[0] > before
        assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before
