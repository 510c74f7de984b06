"""Two names are one account exactly if their canonical forms are equal: to us, and to the index of each database.

A database that folded case, accents or widths by itself would make one of two, or refuse the second
(CVE-2019-19844, CVE-2024-32879). MariaDB's usual collations do.
"""

import unicodedata
from collections.abc import Callable, Iterator, Mapping

import pytest
from sqlalchemy import delete, func, insert, select

from emolytics.database import Database
from emolytics.errors import InvalidName
from emolytics.identity import Identity
from emolytics.names import canonical
from emolytics.schema import local_accounts as table
from emolytics_local.accounts import Accounts
from tests.conftest import DATABASES
from tests.test_names import assigned

# What some collation or other takes for the same.
ALIKE = (
    *("eva", "éva", "èva", "ëva", "ēva"),
    *("mike", "mıke", "strase", "strasse", "alice", "alice.", "al ice", "al-ice", "alice_"),
    *("たなか", "タナカ", "だなか", "はは", "ばば", "ぱぱ", "きよ", "きょ"),
    *("\U00020000", "\U00020001", "\U0002a6d6", "\U0001d538"),
    *("σοφια", "σόφια", "и", "й", "ё", "е", "l·l", "ll", "aa", "å", "ae", "æ", "oe", "œ", "o", "ø", "d", "đ"),
    *("שלום", "שלוֹם", "กา", "กำ", "k", "ĸ", "n", "ŋ", "th", "þ", "i", "ı", "ij", "dz", "nj", "lj"),
)


@pytest.fixture(scope="module", params=DATABASES)
def database(
    request: pytest.FixtureRequest, migrated_databases: Mapping[str, Database]
) -> Iterator[Database]:
    database = migrated_databases[request.param]
    yield database
    with database.transaction() as connection:
        connection.execute(delete(table))


@pytest.fixture
def accounts(database: Database) -> Accounts:
    with database.transaction() as connection:
        connection.execute(delete(table))
    return Accounts(database, "local")


def known(name: str) -> str | None:
    try:
        return canonical(name)
    except InvalidName:
        return None


def add(accounts: Accounts, name: str) -> bool:
    """Whether the name was free."""
    try:
        accounts.add(Identity("", "", name), "hash")
    except InvalidName:
        return False
    return True


def test_names_that_differ_are_different_accounts_and_each_is_found_by_its_own(accounts: Accounts) -> None:
    names = list({key: name for name in ALIKE if (key := known(name))}.values())
    assert len(names) > 50

    assert [name for name in names if not add(accounts, name)] == []

    for name in names:
        found = accounts.by_name(name)
        assert found is not None
        assert found.identity.username == unicodedata.normalize("NFKC", name)


@pytest.mark.parametrize(
    "spellings",
    [
        ("Alice", "ALICE", " alice "),
        ("straße", "STRASSE"),
        ("éva", "E\u0301VA"),
        ("ＡＤＡ", "ada"),
        ("σίσυφος", "ΣΊΣΥΦΟΣ"),
    ],
    ids=ascii,
)
def test_every_spelling_of_a_name_is_the_same_account(accounts: Accounts, spellings: tuple[str, ...]) -> None:
    first, *others = spellings
    assert add(accounts, first)

    for other in others:
        assert not add(accounts, other)
        found = accounts.by_name(other)
        assert found is not None
        assert canonical(found.identity.username) == canonical(first)


def every_letter() -> set[str]:
    """The canonical form of a name with each letter, mark and digit; of the thousands of ideographs every 40th."""
    keys = set()
    for char in assigned():
        ideograph = "CJK" in (name := unicodedata.name(char, "")) or name.startswith(
            ("HANGUL SY", "TANGUT", "EGYPT")
        )
        if unicodedata.category(char)[0] not in "LMN" or (ideograph and ord(char) % 40):
            continue
        keys |= {known(f"x{char}"), known(char)} - {None}
    return keys  # type: ignore[return-value]


@pytest.fixture(scope="module")
def keys() -> list[str]:
    return sorted(every_letter())


def test_the_index_takes_each_canonical_form_once_for_every_letter_there_is(
    database: Database, accounts: Accounts, keys: list[str]
) -> None:
    made = {
        "issuer": "local",
        "display_name": "",
        "email": "",
        "created_at": 0,
        "changed_at": 0,
        "groups": "[]",
    }
    rows = [
        made | {"subject": f"s-{number}", "username": key, "username_key": key, "must_change": False}
        for number, key in enumerate(keys)
    ]
    assert len(rows) > 10_000

    with database.transaction() as connection:
        connection.execute(insert(table), rows)

    with database.read() as connection:
        assert connection.execute(select(func.count()).select_from(table)).scalar() == len(keys)
        distinct = select(func.count(func.distinct(table.c.username_key)))
        assert connection.execute(distinct).scalar() == len(keys)
        assert set(connection.execute(select(table.c.username_key)).scalars()) == set(keys)


def test_the_longest_name_of_the_widest_letters_fits(accounts: Accounts) -> None:
    longest: Callable[[str], str] = lambda last: "\U00020000" * 255 + last  # noqa: E731

    assert add(accounts, longest("\U00020000"))
    assert add(accounts, longest("\U00020001"))
    assert not add(accounts, longest("\U00020000"))
