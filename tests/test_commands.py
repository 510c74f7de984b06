"""The `emolytics` command, as CONTRACT.md section 2 has it. `run` has a file of its own."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from flask import Flask

from emolytics import Emolytics
from emolytics.audit import Event, Record
from emolytics.backend import Finding
from emolytics.commands import group
from emolytics.database import Database
from emolytics.identity import Identity
from emolytics.users import Users
from tests.portal import KEY, PASSWORD, Portal, me, settings_for, sign_in_json
from tests.unprivileged import as_nobody, read_only_folder

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[1]
SETTINGS = f"""
[emolytics]
title = "Acme"
database = "sqlite:///emolytics.db"
secret_key = "{KEY}"
[emolytics.hashing]
cost = 4
[emolytics.roles]
admin = ["local:admins"]
[backends.local]
type = "local"
[backends.tokens]
type = "token"
"""
ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")

Command = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, migrated_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the operator stands: settings.toml and an empty database."""
    (tmp_path / "settings.toml").write_text(SETTINGS)
    (tmp_path / "emolytics.db").write_bytes(migrated_file.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EMOLYTICS_SETTINGS", raising=False)
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Command:
    """Runs a command in this process: words, and what is sent on standard input."""

    def command(*words: str, stdin: str | bytes = "", main: click.Command = group) -> Result:
        return CliRunner().invoke(main, words, input=stdin, prog_name="emolytics")

    return command


@pytest.fixture
def done(run: Command) -> Callable[..., str]:
    """The output of a command that is to succeed."""

    def succeed(*words: str, stdin: str = "") -> str:
        result = run(*words, stdin=stdin)
        assert result.exit_code == 0, result.output
        return result.stdout

    return succeed


@pytest.fixture
def ada(done: Callable[..., str]) -> str:
    """A user made by the command."""
    done("user", "add", "ada", "--email", "ada@example.com", "--password-stdin", stdin=PASSWORD + "\n")
    return "ada"


@pytest.fixture
def portal(folder: Path) -> Iterator[Portal]:
    """The portal of the same settings, beside the command."""
    from emolytics.app import create_app

    portal = Portal(create_app(folder / "settings.toml"))
    yield portal
    portal.core.close()


def told(run: Command, *words: str) -> list[dict[str, Any]]:
    """What a command says with --json."""
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def expect_two_lines(result: Result, code: int) -> None:
    """One line of what is wrong and one of what mends it, on standard error, and no traceback."""
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    lines = result.stderr.splitlines()
    assert len(lines) == 2, result.stderr
    assert lines[0].startswith("Error: ")
    assert all(len(line) > 10 for line in lines)
    assert "Traceback" not in result.output


# What is there


def test_help_names_every_command(done: Callable[..., str]) -> None:
    text = done("--help").partition("Commands:")[2]

    names = set(re.findall(r"^  (\w+) ", text, re.MULTILINE))
    assert names == {
        "run",
        "check",
        "explain",
        "user",
        "session",
        "throttle",
        "token",
        "audit",
        "db",
        "settings",
    }


@pytest.mark.parametrize(
    ("name", "subcommands"),
    [
        ("user", {"add", "show", "list", "disable", "enable", "passwd", "roles", "unlink", "delete"}),
        ("session", {"list", "revoke"}),
        ("token", {"create", "list", "revoke"}),
        ("db", {"upgrade", "current"}),
        ("settings", {"schema", "show"}),
    ],
)
def test_each_group_has_the_commands_of_the_contract(
    done: Callable[..., str], name: str, subcommands: set[str]
) -> None:
    assert (
        set(re.findall(r"^  ([a-z]+) ", done(name, "--help").partition("Commands:")[2], re.MULTILINE))
        == subcommands
    )


def test_help_loads_neither_flask_nor_a_database() -> None:
    code = "import sys, emolytics.commands\nprint({'flask', 'sqlalchemy', 'bcrypt'} & set(sys.modules))"

    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


# Mistakes

MISTAKES: Mapping[str, tuple[Sequence[str], int]] = {
    "no such command": (["nonsense"], 2),
    "no such command of a group": (["user", "nonsense"], 2),
    "no such option": (["user", "list", "--nonsense"], 2),
    "an option of another command": (["user", "list", "--email", "x"], 2),
    "a missing argument": (["user", "add"], 2),
    "too many arguments": (["user", "show", "ada", "bob"], 2),
    "an option without its value": (["--settings"], 2),
    "a port that is none": (["run", "--port", "0"], 2),
    "a port that is no number": (["run", "--port", "http"], 2),
    "no workers": (["run", "--workers", "0"], 2),
    "no such backend to check": (["check", "nonsense"], 2),
    "no such backend to explain": (["explain", "nonsense", "ada"], 2),
    "a time that is none": (["audit", "--since", "yesterday"], 2),
    "a time beyond reason": (["audit", "--since", "99999999999d"], 2),
    "a session that is no number": (["session", "revoke", "ada", "x"], 2),
    "a session beyond 64 bits": (["session", "revoke", "ada", "9" * 30], 2),
    "a token beyond 64 bits": (["token", "revoke", "9" * 30], 2),
    "deleting without --yes": (["user", "delete", "ada"], 2),
    "a password as an argument": (["user", "add", "bob", PASSWORD], 2),
    "no terminal to ask at": (["user", "add", "bob"], 2),
    "a setting file that is not there": (["--settings", "nowhere.toml", "user", "list"], 2),
    "a folder for a settings file": (["--settings", ".", "user", "list"], 2),
    "no such user to show": (["user", "show", "nobody"], 1),
    "no such user to disable": (["user", "disable", "nobody"], 1),
    "no such user to enable": (["user", "enable", "nobody"], 1),
    "no such user for a password": (["user", "passwd", "nobody", "--password-stdin"], 1),
    "no such user for roles": (["user", "roles", "nobody", "--add", "x"], 1),
    "no such user to delete": (["user", "delete", "nobody", "--yes"], 1),
    "no such user's sessions": (["session", "list", "nobody"], 1),
    "no such user to revoke": (["session", "revoke", "nobody"], 1),
    "no such user for a token": (["token", "create", "nobody", "--name", "x"], 1),
    "no such session": (["session", "revoke", "ada", "999"], 1),
    "no such token": (["token", "revoke", "999"], 1),
    "a name that is taken": (["user", "add", "ADA", "--password-stdin"], 1),
    "a name that cannot be one": (["user", "add", "a\x1bb", "--password-stdin"], 1),
    "half a character in a name": (["user", "add", "a\udcff", "--password-stdin"], 1),
    "half a character in an address": (["user", "add", "bob", "--email", "\udcff", "--password-stdin"], 2),
    "a line break in a name to show": (
        ["user", "add", "bob", "--display-name", "a\nb", "--password-stdin"],
        2,
    ),
    "a line break in a group": (["user", "add", "bob", "--group", "a\nb", "--password-stdin"], 2),
    "a long address": (["user", "add", "bob", "--email", "x" * 321, "--password-stdin"], 2),
    "half a character for the trail": (["audit", "--user", "\udcff"], 2),
    "half a character for a token": (["token", "create", "ada", "--name", "\udcff"], 2),
    "a role that cannot be one": (["user", "add", "bob", "--role", "a b", "--password-stdin"], 1),
    "a role that cannot be granted": (["user", "roles", "ada", "--add", "a\nb"], 1),
    "a password that is too short": (["user", "passwd", "ada", "--password-stdin"], 1),
}


@pytest.mark.parametrize("what", MISTAKES)
@pytest.mark.usefixtures("ada")
def test_a_mistake_is_told_in_two_lines(run: Command, what: str) -> None:
    words, code = MISTAKES[what]

    expect_two_lines(run(*words, stdin="short\n"), code)


def test_a_mistake_changes_nothing(run: Command, ada: str) -> None:
    before = told(run, "user", "list")

    for words, _ in MISTAKES.values():
        run(*words, stdin="short\n")

    assert told(run, "user", "list") == before
    assert told(run, "session", "list") == []


@pytest.mark.parametrize(
    "stdin",
    [
        "",
        "\n",
        "short\n",
        "password1234\n",
        "x" * 300 + "\n",
        b"\xff\xfe-not-utf-8-at-all\n",
        "a\0" * 9 + "\n",
    ],
)
def test_a_password_that_will_not_do_is_told_in_two_lines(run: Command, stdin: str | bytes) -> None:
    expect_two_lines(run("user", "add", "bob", "--password-stdin", stdin=stdin), 1)
    assert told(run, "user", "list") == []


BROKEN = {
    "an unknown key": '[emolytics]\ntitel = "x"\n[backends.local]\ntype = "local"\n',
    "no TOML": "[emolytics\n",
    "a wrong type": '[emolytics]\ntrusted_proxies = "one"\n[backends.local]\ntype = "local"\n',
    "no backend": '[emolytics]\ntitle = "x"\n',
    "no such type": '[backends.x]\ntype = "nonsense"\n',
    "a secret that is not set": '[emolytics]\nsecret_key = { env = "NOT_SET" }\n[backends.local]\ntype = "local"\n',
    "nothing": "",
}
ALL_COMMANDS = [
    ["run", "--port", "8999"],
    ["check"],
    ["explain", "local", "ada"],
    ["user", "list"],
    ["session", "list"],
    ["audit"],
    ["db", "upgrade"],
    ["db", "current"],
    ["settings", "show"],
]


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("words", ALL_COMMANDS, ids=" ".join)
def test_settings_that_are_wrong_are_told_by_every_command(
    run: Command, folder: Path, what: str, words: list[str]
) -> None:
    (folder / "settings.toml").write_text(BROKEN[what])

    result = run(*words)

    expect_two_lines(result, 2)
    assert "settings.toml" in result.stderr


def test_every_problem_of_the_settings_has_a_line(run: Command, folder: Path) -> None:
    (folder / "settings.toml").write_text(
        '[emolytics]\ntitel = "x"\nport = 1\n[backends.local]\ntype = "local"\n'
    )

    result = run("user", "list")

    assert result.exit_code == 2
    assert [line.count("settings.toml:") for line in result.stderr.splitlines()] == [1, 1, 0]


@pytest.mark.parametrize(
    "words", [["user", "list"], ["run", "--port", "8999"], ["db", "upgrade"]], ids=" ".join
)
def test_a_database_that_cannot_be_had_is_told_in_two_lines(
    run: Command, folder: Path, words: list[str]
) -> None:
    (folder / "a-file").touch()
    path = folder / "settings.toml"
    path.write_text(SETTINGS.replace("///emolytics.db", "///a-file/x/emolytics.db"))

    expect_two_lines(run(*words), 1)


def test_a_folder_that_cannot_be_written_to_is_told_in_two_lines(run: Command, folder: Path) -> None:
    with read_only_folder() as unwritable:
        text = SETTINGS.replace(f'secret_key = "{KEY}"', 'secret_key = { file = "instance/key" }')
        unwritable.chmod(0o755)
        (unwritable / "settings.toml").write_text(text)
        unwritable.chmod(0o555)
        with as_nobody():
            result = run("--settings", str(unwritable / "settings.toml"), "user", "list")

    expect_two_lines(result, 2)
    assert "Permission denied" in result.stderr


def test_a_database_that_only_reads_is_told_in_two_lines(
    run: Command, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Database, "_begun", lambda self: self.engine.connect())
    monkeypatch.setattr("emolytics.engines.prepare_sqlite", lambda c, _: c.execute("PRAGMA query_only = ON"))

    expect_two_lines(run("user", "disable", "ada"), 1)


# Accounts


def test_an_account_is_made_with_all_that_was_said(run: Command, done: Callable[..., str]) -> None:
    words = ["--email", "g@example.com", "--display-name", "Grace Hopper", "--role", "b", "--role", "a"]

    said = done(
        "user", "add", "grace", *words, "--group", "admins", "--password-stdin", stdin=PASSWORD + "\n"
    )

    (row,) = told(run, "user", "list")
    assert said == "Added grace.\n"
    assert {key: row[key] for key in ("username", "display_name", "email", "disabled", "roles")} == {
        "username": "grace",
        "display_name": "Grace Hopper",
        "email": "g@example.com",
        "disabled": False,
        "roles": ["a", "admin", "b"],
    }
    assert isinstance(row["id"], int)
    assert ISO.fullmatch(row["created_at"])


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "", "\nsecond line\n"])
def test_the_first_line_of_standard_input_is_the_password(
    done: Callable[..., str], portal: Portal, line_end: str
) -> None:
    done("user", "add", "bob", "--password-stdin", stdin=f" {PASSWORD} {line_end}")

    assert sign_in_json(portal.client(), "bob", f" {PASSWORD} ").status_code == 200


def test_at_a_terminal_the_password_is_asked_for_twice_and_not_shown(folder: Path) -> None:
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [BIN / "emolytics", "user", "add", "bob"],
        cwd=folder,
        stdin=end,
        stdout=end,
        stderr=end,
        start_new_session=True,
        preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
    )
    os.close(end)
    shown = answer(terminal, [("Password: ", PASSWORD), ("Repeat for confirmation: ", PASSWORD)])

    assert process.wait(timeout=30) == 0
    assert "Added bob." in shown
    assert PASSWORD not in shown


def answer(terminal: int, dialogue: list[tuple[str, str]]) -> str:
    """Type each answer when its question is there; the result is all that was shown."""
    shown = ""
    waiting = list(dialogue)
    while True:
        try:
            shown += os.read(terminal, 4096).decode()
        except OSError:  # the other end has closed
            os.close(terminal)
            return shown
        if waiting and shown.endswith(waiting[0][0]):
            os.write(terminal, (waiting.pop(0)[1] + "\n").encode())


@pytest.mark.usefixtures("ada")
def test_a_user_is_shown_with_identities_and_sessions(
    run: Command, done: Callable[..., str], portal: Portal
) -> None:
    sign_in_json(portal.client(), "ada")

    (shown,) = told(run, "user", "show", "ADA")
    text = done("user", "show", "ada")

    assert {"id", "username", "display_name", "email", "disabled", "roles", "created_at"} <= set(shown)
    assert (shown["username"], shown["sessions"], len(shown["identities"])) == ("ada", 1, 1)
    assert "ada@example.com" in text


@pytest.mark.usefixtures("ada")
def test_a_user_is_shown_to_programs_with_each_identity(run: Command) -> None:
    (shown,) = told(run, "user", "show", "ada")

    (identity,) = shown["identities"]
    assert identity.pop("subject")
    assert identity == {
        "id": 1,
        "backend": "local",
        "username": "ada",
        "issuer": "local",
        "email": "ada@example.com",
        "email_verified": False,
        "works": True,
    }


def test_an_operator_vouches_for_an_address(run: Command, done: Callable[..., str]) -> None:
    add = ("user", "add", "ada", "--email-verified", "--password-stdin")
    expect_two_lines(run(*add, stdin=PASSWORD), 2)

    done(*add, "--email", "ada@example.com", stdin=PASSWORD)

    assert told(run, "user", "show", "ada")[0]["identities"][0]["email_verified"]


@pytest.fixture
def linked(ada: str, portal: Portal) -> int:
    """The number of a second identity of ada's, at a backend that the settings no longer have."""
    identity = Identity("https://id.example.com", "sub-1", "ada.l")
    user = portal.user_id(ada)
    portal.core.database.run(lambda connection: Users.attach(connection, user, "old", identity))
    return int(portal.core.users.identities_of(user)[-1].id)


@pytest.mark.parametrize("by_number", [True, False])
def test_an_identity_is_unlinked_by_its_backend_or_its_number(
    run: Command, done: Callable[..., str], portal: Portal, linked: int, by_number: bool
) -> None:
    said = done("user", "unlink", "Ada", str(linked) if by_number else "old")

    (shown,) = told(run, "user", "show", "ada")
    assert [each["backend"] for each in shown["identities"]] == ["local"]
    assert said == "Unlinked old from Ada; 0 of its sessions ended.\n"
    assert portal.events()[-1] == ("identity_unlinked", "")


@pytest.mark.usefixtures("linked")
def test_the_last_way_in_is_unlinked_only_by_who_says_so(
    run: Command, done: Callable[..., str], portal: Portal
) -> None:
    client = portal.client()
    sign_in_json(client, "ada")

    expect_two_lines(run("user", "unlink", "ada", "local"), 1)
    still = me(client)
    said = done("user", "unlink", "ada", "local", "--yes")

    assert still
    assert me(client) is None
    assert "1 of its sessions ended" in said
    assert sign_in_json(portal.client(), "ada").status_code == 401


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize("which", ["corp", "2", "nothing"])
def test_what_a_user_does_not_have_is_not_unlinked(run: Command, which: str) -> None:
    expect_two_lines(run("user", "unlink", "ada", which, "--yes"), 1)
    expect_two_lines(run("user", "unlink", "nobody", which), 1)


@pytest.mark.usefixtures("linked")
def test_of_several_at_one_backend_the_number_must_be_said(run: Command, portal: Portal) -> None:
    user = portal.user_id("ada")
    another = Identity("https://id.example.com", "sub-2", "ada.l")
    portal.core.database.run(lambda connection: Users.attach(connection, user, "old", another))

    expect_two_lines(run("user", "unlink", "ada", "old"), 1)
    assert len(portal.core.users.identities_of(user)) == 3


@pytest.mark.usefixtures("linked")
def test_an_account_whose_store_is_switched_off_is_not_unlinked(
    run: Command, folder: Path, portal: Portal
) -> None:
    (folder / "settings.toml").write_text(
        SETTINGS.replace('type = "local"', 'type = "local"\nissuer = "partners"')
    )

    refused = run("user", "unlink", "ada", "local", "--yes")

    expect_two_lines(refused, 1)
    assert "issuer local" in refused.stderr
    assert len(portal.core.users.identities_of(portal.user_id("ada"))) == 2


@pytest.mark.usefixtures("ada")
def test_disabling_ends_the_sessions_and_refuses_new_ones(done: Callable[..., str], portal: Portal) -> None:
    """ASVS 7.4.2."""
    client = portal.signed_in()

    done("user", "disable", "ada")
    after = me(client), sign_in_json(portal.client(), "ada").status_code
    done("user", "enable", "ada")

    assert after == (None, 403)
    assert me(client) is None
    assert sign_in_json(portal.client(), "ada").status_code == 200


@pytest.mark.usefixtures("ada")
def test_a_new_password_ends_the_sessions(done: Callable[..., str], portal: Portal) -> None:
    client, new = portal.signed_in(), "seven-clouds-over-the-ferry"

    done("user", "passwd", "ada", "--password-stdin", stdin=new + "\n")

    assert me(client) is None
    assert [sign_in_json(portal.client(), "ada", each).status_code for each in (PASSWORD, new)] == [401, 200]


@pytest.mark.usefixtures("ada")
def test_roles_are_granted_and_taken_and_count_at_once(done: Callable[..., str], portal: Portal) -> None:
    client = portal.signed_in()

    added = done("user", "roles", "ada", "--add", "b", "--add", "a")
    during = (me(client) or {})["roles"]
    done("user", "roles", "ada", "--remove", "a", "--remove", "never-had")

    assert added == "Roles of ada: a, b\n"
    assert during == ["a", "b"]
    assert (me(client) or {})["roles"] == ["b"]
    assert done("user", "roles", "ada") == "Roles of ada: b\n"


@pytest.mark.usefixtures("ada")
def test_deleting_leaves_the_trail_alone(run: Command, done: Callable[..., str], portal: Portal) -> None:
    client = portal.signed_in()

    done("user", "delete", "ada", "--yes")

    assert me(client) is None
    assert sign_in_json(portal.client(), "ada").status_code == 401
    assert told(run, "user", "list") == []
    assert "user_deleted" in [row["event"] for row in told(run, "audit")]


@pytest.mark.usefixtures("ada")
def test_every_change_is_in_the_trail(run: Command, done: Callable[..., str]) -> None:
    done("user", "roles", "ada", "--add", "x")
    done("user", "disable", "ada")
    done("user", "enable", "ada")
    done("user", "passwd", "ada", "--password-stdin", stdin="seven-clouds-over-the-ferry\n")
    done("session", "revoke", "ada")

    rows = told(run, "audit", "--user", "Ada")

    assert [row["event"] for row in rows] == [
        "user_added",
        "roles_changed",
        "user_disabled",
        "user_enabled",
        "password_changed",
        "session_revoked",
    ]
    assert PASSWORD not in json.dumps(rows)


# Sessions and tokens


@pytest.mark.usefixtures("ada")
def test_sessions_are_listed_without_what_they_are_known_by(run: Command, portal: Portal) -> None:
    """ASVS 7.5.2."""
    client = portal.signed_in()
    with client.session_transaction() as kept:
        secret = kept["_user_id"]

    rows = told(run, "session", "list")

    assert [set(row) for row in rows] == [
        {"id", "username", "backend", "device", "address", "since", "last_seen", "ends"}
    ]
    assert (rows[0]["username"], rows[0]["backend"]) == ("ada", "local")
    assert secret not in run("session", "list").output
    assert told(run, "session", "list", "ada") == rows


@pytest.mark.usefixtures("ada")
def test_one_session_or_all_of_a_user_can_be_revoked(
    run: Command, done: Callable[..., str], portal: Portal
) -> None:
    """ASVS 7.4.5: it holds at the next request."""
    done("user", "add", "bob", "--password-stdin", stdin=PASSWORD + "\n")
    one, other, bobs = portal.signed_in(), portal.signed_in(), portal.signed_in("bob")
    first = min(row["id"] for row in told(run, "session", "list", "ada"))

    said = done("session", "revoke", "ada", str(first))
    after_one = (me(one), bool(me(other)), bool(me(bobs)))
    done("session", "revoke", "ada")

    assert said == "Ended 1 session of ada.\n"
    assert after_one == (None, True, True)
    assert (me(other), bool(me(bobs))) == (None, True)


@pytest.mark.usefixtures("ada")
def test_a_session_of_somebody_else_is_not_this_users(
    run: Command, done: Callable[..., str], portal: Portal
) -> None:
    done("user", "add", "bob", "--password-stdin", stdin=PASSWORD + "\n")
    bobs = portal.signed_in("bob")
    number = told(run, "session", "list", "bob")[0]["id"]

    expect_two_lines(run("session", "revoke", "ada", str(number)), 1)
    assert me(bobs)
    assert "session_revoked" not in [row["event"] for row in told(run, "audit")]


@pytest.mark.usefixtures("ada")
def test_a_token_is_printed_once_and_works_until_it_is_revoked(
    run: Command, done: Callable[..., str], portal: Portal
) -> None:
    result = run("token", "create", "ada", "--name", "nightly", "--days", "7")
    secret = result.stdout.strip()
    use = {"Authorization": f"Bearer {secret}"}
    before = portal.client().get("/me", headers=use).status_code
    (row,) = told(run, "token", "list", "ada")
    done("token", "revoke", str(row["id"]))

    assert (row["name"], before) == ("nightly", 200)
    assert secret not in json.dumps(row) + run("token", "list", "ada").output
    assert portal.client().get("/me", headers=use).status_code == 401
    assert told(run, "token", "list", "ada") == []


# Tables


@pytest.mark.parametrize(
    "words",
    [
        ["user", "list"],
        ["session", "list"],
        ["audit"],
        ["token", "list", "ada"],
        ["user", "show", "ada"],
        ["check"],
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("ada")
def test_what_prints_a_table_prints_an_array_of_objects(run: Command, words: list[str]) -> None:
    rows = told(run, *words)

    assert isinstance(rows, list)
    assert all(isinstance(row, dict) for row in rows)
    if words[0] == "user":
        assert {"id", "username"} <= set(rows[0])


@pytest.mark.parametrize("words", [["user", "list"], ["session", "list"], ["audit"]], ids=" ".join)
def test_an_empty_table_says_so(run: Command, done: Callable[..., str], words: list[str]) -> None:
    assert done(*words) == "None.\n"
    assert told(run, *words) == []


def test_nothing_that_somebody_else_wrote_moves_the_cursor(run: Command, portal: Portal) -> None:
    """ASVS 16.4.1."""
    portal.client().post("/login", json={"username": "a\x1b[2J\r\nb\u202e", "password": "x"})

    text = run("audit").stdout

    assert not [char for char in text if not char.isprintable() and char != "\n"]
    assert len(text.splitlines()) == 2


@pytest.mark.usefixtures("ada")
def test_the_trail_can_be_narrowed(run: Command) -> None:
    assert [row["event"] for row in told(run, "audit", "--since", "1h")] == ["user_added"]
    assert told(run, "audit", "--since", "2999-01-01") == []
    assert told(run, "audit", "--user", "nobody") == []
    assert len(told(run, "audit", "--since", "2000-01-01T00:00:00Z", "--user", "ada")) == 1


@pytest.mark.usefixtures("ada")
def test_all_since_a_time_are_told_however_many(run: Command, portal: Portal) -> None:
    with portal.core.database.transaction() as connection:
        for number in range(1200):
            portal.core.audit.within(connection, Record(Event.DENIED, reason=str(number)))

    since, last = told(run, "audit", "--since", "1h"), told(run, "audit")

    assert [row["reason"] for row in since[1:]] == [str(number) for number in range(1200)]
    assert last == since[-1000:]


def test_the_table_tells_details_by_name(run: Command, portal: Portal) -> None:
    portal.core.audit.note(Record(Event.DENIED, username="ada", detail={"detail": "no\nsuch", "tries": "2"}))

    assert "detail=no\N{REPLACEMENT CHARACTER}such, tries=2" in run("audit").stdout


@pytest.fixture
def followed(run: Command, portal: Portal, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`audit --follow` where one event is there, another comes while it waits, and then it is interrupted."""
    events = [Record(Event.THROTTLED, username="grace", detail={"count": "3"})]

    def wait(_seconds: float) -> None:
        if not events:
            raise KeyboardInterrupt
        portal.core.audit.note(events.pop())

    monkeypatch.setattr("emolytics.commands.audit.time.sleep", wait)
    portal.core.audit.note(Record(Event.DENIED, username="ada"))
    return lambda *words: run("audit", "--follow", *words)


@pytest.mark.parametrize("words", [(), ("--since", "1h")])
def test_following_in_json_is_an_object_per_line_from_the_start(
    followed: Command, words: tuple[str, ...]
) -> None:
    lines = followed("--json", *words).stdout.splitlines()

    assert [json.loads(line)["username"] for line in lines if line] == ["ada", "grace"]


def test_following_without_json_goes_on_with_the_table(followed: Command) -> None:
    head, ada, grace = filter(None, followed().stdout.splitlines())

    assert head.startswith("AT ")
    assert [line[head.index("USERNAME") :].split()[0] for line in (ada, grace)] == ["ada", "grace"]
    assert grace.endswith("count=3")


# Check and explain


def test_check_has_a_line_for_each_part(done: Callable[..., str]) -> None:
    lines = done("check").splitlines()

    assert [re.split(r": ", line)[0] for line in lines] == [
        "ok      settings",
        "ok      database",
        "ok      limits",
        "ok      backend local",
        "ok      backend tokens",
    ]


def test_check_goes_on_when_one_part_fails(run: Command, folder: Path) -> None:
    down = '[backends.down]\ntype = "tests.reference.outcomes_by_name:Down"\n[backends.local]'
    (folder / "settings.toml").write_text(SETTINGS.replace("[backends.local]", down))

    result = run("check")
    found = {row["step"]: row["ok"] for row in json.loads(run("check", "--json").stdout)}

    assert result.exit_code == 1
    assert "FAILED  backend down: directory: connection refused\n" in result.stdout
    assert found == {
        "settings": True,
        "database": True,
        "limits": True,
        "backend down": False,
        "backend local": True,
        "backend tokens": True,
    }


def test_check_asks_the_backends_when_the_database_is_down(run: Command, folder: Path) -> None:
    (folder / "a-file").touch()
    outcome = '[backends.scripted]\ntype = "tests.reference.outcomes_by_name:OutcomesByName"\n'
    (folder / "settings.toml").write_text(
        SETTINGS.replace("///emolytics.db", "///a-file/emolytics.db") + outcome
    )

    result = run("check")

    assert result.exit_code == 1
    assert "FAILED  database: " in result.stdout
    assert "FAILED  limits: " in result.stdout
    assert "FAILED  backend local: " in result.stdout
    assert "ok      backend scripted: answers" in result.stdout
    assert "Traceback" not in result.output


def test_check_survives_a_backend_that_fails_to_say_how_it_is(
    run: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: object) -> None:
        raise RuntimeError("a fault of the author's")

    monkeypatch.setattr("emolytics_local.backend.LocalBackend.check_health", fail)

    result = run("check")
    one = run("check", "local")

    assert (result.exit_code, one.exit_code) == (1, 1)
    assert "FAILED  backend local: unexpected RuntimeError" in result.stdout
    assert "Traceback" not in result.output + one.output


def test_check_of_one_backend_takes_every_step(run: Command, done: Callable[..., str], folder: Path) -> None:
    down = '[backends.down]\ntype = "tests.reference.outcomes_by_name:Down"\n[backends.local]'
    (folder / "settings.toml").write_text(SETTINGS.replace("[backends.local]", down))

    assert done("check", "local").startswith("ok      ")
    assert run("check", "down").exit_code == 1


@pytest.mark.usefixtures("ada")
def test_explain_walks_a_sign_in_without_signing_anybody_in(run: Command, done: Callable[..., str]) -> None:
    done("user", "add", "root", "--group", "admins", "--password-stdin", stdin=PASSWORD + "\n")

    right = run("explain", "local", "root", "--password-stdin", stdin=PASSWORD + "\n")
    wrong = run("explain", "local", "root", "--password-stdin", stdin="not-the-password\n")
    unknown = run("explain", "local", "nobody")

    assert (right.exit_code, wrong.exit_code, unknown.exit_code) == (0, 1, 1)
    assert "roles: admin" in right.stdout
    assert PASSWORD not in right.output
    assert "not-the-password" not in wrong.output
    assert told(run, "session", "list") == []


@pytest.mark.parametrize("words", [("check", "local"), ("explain", "local", "eve")], ids=["check", "explain"])
def test_what_an_upstream_says_forges_no_line_and_moves_no_cursor(
    run: Command, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """Names in a directory are often their owners' to write."""
    said = [Finding("entry", True, "name Eve\nok      roles: admin\x1b[2J")]
    for method in ("diagnose", "explain"):
        monkeypatch.setattr(f"emolytics_local.backend.LocalBackend.{method}", lambda *_: said)

    shown = run(*words).stdout

    assert "ok      entry: name Eve" in shown
    assert not [line for line in shown.splitlines() if line.startswith("ok      roles")]
    assert "\x1b" not in shown


# Database and settings


def test_the_schema_is_brought_up_to_date_once(run: Command, done: Callable[..., str], folder: Path) -> None:
    (folder / "emolytics.db").unlink()

    texts = [done("db", "current"), done("db", "upgrade"), done("db", "upgrade"), done("db", "current")]

    assert texts[0].startswith("empty ")
    assert texts[1].startswith("Upgraded to ")
    assert texts[2].startswith("Already at ")
    assert texts[3].split()[0] == texts[1].split()[-1].rstrip(".")


def test_the_settings_in_force_are_shown_without_secrets(done: Callable[..., str], folder: Path) -> None:
    text = SETTINGS.replace("sqlite:///emolytics.db", "postgresql+psycopg://u:sesame-9876@db.example.com/x")
    (folder / "settings.toml").write_text(text)

    shown = done("settings", "show")

    found = json.loads(shown)
    assert found["emolytics"]["title"] == "Acme"
    assert found["emolytics"]["session"]["lifetime"] == "12h"
    assert KEY not in shown
    assert "sesame-9876" not in shown


def test_the_schema_of_the_settings_needs_no_settings(done: Callable[..., str], folder: Path) -> None:
    (folder / "settings.toml").unlink()

    schema = json.loads(done("settings", "schema"))

    assert {"emolytics", "backends"} <= set(schema["properties"])


def test_the_settings_file_is_the_one_that_is_named(
    done: Callable[..., str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def title(*words: str) -> str:
        found: str = json.loads(done(*words, "settings", "show"))["emolytics"]["title"]
        return found

    for name in ("named", "environment"):
        (folder / f"{name}.toml").write_text(SETTINGS.replace("Acme", name))
    monkeypatch.setenv("EMOLYTICS_SETTINGS", "environment.toml")
    both, environment = title("--settings", "named.toml"), title()
    monkeypatch.setenv("EMOLYTICS_SETTINGS", "")

    assert (both, environment, title()) == ("named", "environment", "Acme")


def test_paths_are_relative_to_the_settings_file(
    folder: Path, run: Command, monkeypatch: pytest.MonkeyPatch, ada: str
) -> None:
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")

    result = run("--settings", "../settings.toml", "user", "list", "--json")

    assert [row["username"] for row in json.loads(result.stdout)] == ["ada"]
    assert list((folder / "elsewhere").iterdir()) == []


# In a host application


def test_a_host_application_has_the_same_commands(tmp_path: Path) -> None:
    app = Flask("host")
    Emolytics(app, settings_for(f"sqlite:///{tmp_path}/host.db"))
    runner = app.test_cli_runner()

    added = runner.invoke(args=["emolytics", "user", "add", "ada", "--password-stdin"], input=PASSWORD + "\n")
    listed = runner.invoke(args=["emolytics", "user", "list", "--json"])
    wrong = runner.invoke(args=["emolytics", "user", "show", "nobody"])
    usage = runner.invoke(args=["emolytics", "user", "nonsense"])
    checked = runner.invoke(args=["emolytics", "check"])
    app.extensions["emolytics"].close()

    assert added.exit_code == 0, added.output
    assert [row["username"] for row in json.loads(listed.stdout)] == ["ada"]
    assert checked.exit_code == 0
    expect_two_lines(wrong, 1)
    expect_two_lines(usage, 2)


def flask(folder: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """`flask emolytics …` of the application in `host.py`."""
    command = [str(BIN / "flask"), "--app", "host", "emolytics", *words]
    return subprocess.run(command, cwd=folder, input=stdin, capture_output=True, text=True, check=False)


def test_flask_finds_the_commands_by_itself(folder: Path) -> None:
    (folder / "host.py").write_text(
        "from flask import Flask\nfrom emolytics import Emolytics\napp = Flask(__name__)\nEmolytics(app)\n"
    )

    added = flask(folder, "user", "add", "ada", "--password-stdin", stdin=PASSWORD + "\n")
    wrong = flask(folder, "user", "show", "nobody")

    assert (added.returncode, added.stdout) == (0, "Added ada.\n")
    assert wrong.returncode == 1
    assert len(wrong.stderr.splitlines()) == 2


def test_an_application_without_emolytics_is_told_so(folder: Path) -> None:
    (folder / "host.py").write_text("from flask import Flask\napp = Flask(__name__)\n")

    done = flask(folder, "user", "list")

    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "Error: this application does not use Emolytics",
        "Call Emolytics(app) in it.",
    ]


# As a program


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--version"], 0),
        (["check"], 0),
        (["nonsense"], 2),
        (["user", "show", "nobody"], 1),
        (["--settings", "nowhere.toml", "check"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_as_a_program_it_ends_with_the_code_of_the_contract(
    folder: Path, words: list[str], code: int
) -> None:
    done = subprocess.run(
        [BIN / "emolytics", *words], cwd=folder, capture_output=True, text=True, check=False
    )

    assert done.returncode == code
    assert len(done.stderr.splitlines()) == (2 if code else 0)
    assert bool(done.stdout) is (code == 0)


def test_a_reader_that_goes_away_is_no_mistake(folder: Path) -> None:
    command = f"{BIN / 'emolytics'} settings schema | head -c 1"

    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("{", "")


def test_a_password_in_any_locale_is_what_was_sent(folder: Path, portal: Portal) -> None:
    password = "schöne-grüße-aus-übersee"
    done = subprocess.run(
        [BIN / "emolytics", "user", "add", "bob", "--password-stdin"],
        cwd=folder,
        input=password.encode() + b"\n",
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        capture_output=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert sign_in_json(portal.client(), "bob", password).status_code == 200
