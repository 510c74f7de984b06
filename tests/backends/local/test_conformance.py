"""Local accounts hold to what the suite asks of every backend."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, exc, update

from emolytics import migrations
from emolytics.backend import Context
from emolytics.database import Database
from emolytics.hashing import Hasher
from emolytics.identity import Identity
from emolytics.names import canonical
from emolytics.passwords import PasswordPolicy
from emolytics.schema import local_accounts
from emolytics.testing import PasswordSuite, PasswordUpstream, Person, RevalidationSuite
from emolytics_local import LocalSettings, open_backend
from emolytics_local.accounts import Account, Accounts
from emolytics_local.backend import LocalBackend


class AccountsInSQLite(PasswordUpstream):
    """The table of accounts, changed by an operator with a connection of his own."""

    def __init__(self, path: Path, hasher: Hasher) -> None:
        self.database = Database(f"sqlite:///{path}")
        self.hasher = hasher
        migrations.upgrade(self.database)
        self._path, self._aside = path, path.with_suffix(".aside")
        self._operator = Database(self.database.url)
        self._accounts = Accounts(self._operator, "local")
        self._answers_left: float = float("inf")
        event.listen(self.database.engine, "before_cursor_execute", self._take_statement)

    def _take_statement(self, *_: Any) -> None:
        if self._answers_left < 1:
            raise exc.OperationalError("", None, ConnectionError("the server closed the connection"))
        self._answers_left -= 1

    def add(self, person: Person) -> None:
        account = Identity(
            "", "", person.name, display_name=person.display_name, email=person.email, groups=person.groups
        )
        self._accounts.add(account, self.hasher.hash(person.password))

    def remove(self, person: Person) -> None:
        self._accounts.remove(self._account(person).identity.subject)

    def rename(self, person: Person, name: str) -> None:
        self._change(person, username=name, username_key=canonical(name))

    def set_groups(self, person: Person, groups: Sequence[str]) -> None:
        self._change(person, groups=json.dumps(list(groups)))

    def set_password(self, person: Person, password: str) -> None:
        self._accounts.set_password(self._account(person).identity.subject, self.hasher.hash(password))

    def go_down(self, after: int = 0) -> None:
        self._answers_left = after
        if after == 0:
            self._path.rename(self._aside)

    def come_back(self) -> None:
        self._answers_left = float("inf")
        if self._aside.exists():
            self._aside.replace(self._path)

    def close(self) -> None:
        for database in (self.database, self._operator):
            database.close()

    def _account(self, person: Person) -> Account:
        account = self._accounts.by_name(person.name)
        assert account is not None
        return account

    def _change(self, person: Person, **values: Any) -> None:
        subject = self._account(person).identity.subject
        with self._operator.transaction() as connection:
            mine = local_accounts.c.subject == subject
            connection.execute(update(local_accounts).where(mine).values(**values))


@pytest.fixture(scope="module")
def hasher() -> Iterator[Hasher]:
    hasher = Hasher(cost=4, concurrency=2)
    yield hasher
    hasher.close()


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory, hasher: Hasher) -> Iterator[AccountsInSQLite]:
    upstream = AccountsInSQLite(tmp_path_factory.mktemp("local") / "emolytics.db", hasher)
    yield upstream
    upstream.close()


class TestLocal(PasswordSuite, RevalidationSuite):
    can_disable = False  # an account is disabled as a user, by the core, whatever its backend
    can_hang = can_garble = False  # a file has neither silence nor a protocol

    @pytest.fixture
    def backend(self, upstream: AccountsInSQLite, tmp_path: Path) -> Iterator[LocalBackend]:
        context = Context(
            name="local",
            folder=tmp_path,
            database=upstream.database,
            hasher=upstream.hasher,
            policy=PasswordPolicy(),
            public_url="",
        )
        backend = open_backend(LocalSettings(type="local"), context)
        yield backend
        backend.close()
