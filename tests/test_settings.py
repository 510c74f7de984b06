"""settings.toml: what it means, and how every mistake in it is told."""

import datetime as dt
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from pydantic import ValidationError

from emolytics.errors import SettingsError
from emolytics.registry import installed_types
from emolytics.settings import ROUTE_WORDS, PortalSettings, load_settings
from tests.reference.backend_types import HERE, GateSettings

KEY = "zX81-spectrum-loads-cassettes"
GATE = f'type = "{HERE}:GateBackend"'
LOCAL = {"local": {"type": "local"}}

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes settings.toml."""

    def written(text: str) -> Path:
        file = tmp_path / "settings.toml"
        file.write_text(text)
        return file

    return written


def problems(source: Any) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        load_settings(source)
    return [str(problem) for problem in refused.value.problems]


def portal(**keys: Any) -> dict[str, Any]:
    return {"emolytics": {"secret_key": KEY} | keys, "backends": LOCAL}


# What the file means


def test_what_is_not_written_has_the_documented_default(write: Write, tmp_path: Path) -> None:
    settings = load_settings(write('[backends.local]\ntype = "local"'))

    assert settings.title == "Emolytics"
    assert settings.database.get_secret_value() == f"sqlite:///{tmp_path}/instance/emolytics.db"
    assert settings.secret_key.sources == (tmp_path / "instance/secret_key",)
    assert settings.public_url == ""
    assert settings.trusted_proxies == 0
    assert settings.allowed_redirects == settings.default_roles == ()
    assert settings.session.model_dump() == {
        "lifetime": timedelta(hours=12),
        "idle": timedelta(hours=2),
        "remember": timedelta(days=30),
        "revalidate": timedelta(minutes=5),
        "grace": timedelta(hours=1),
        "fresh": timedelta(minutes=15),
        "cookie_domain": "",
    }
    assert settings.limits.storage.get_secret_value() == "database"
    assert (settings.limits.failures, settings.limits.address_failures) == (10, 100)
    assert settings.limits.window == timedelta(minutes=15)
    assert settings.hashing.model_dump() == {"scheme": "bcrypt", "cost": 12, "concurrency": 0, "places": 0}
    assert settings.passwords.model_dump() == {"minimum_length": 12, "context_words": ()}
    assert settings.roles == {}


def test_backends_stand_in_declared_order_and_disabled_ones_are_passed_over(write: Write) -> None:
    text = f"""
        [backends.zulu]
        {GATE}
        label = "Zulu"
        [backends.off]
        enabled = false
        type = "no.such:Thing"
        unheard_of = 1
        [backends.alpha]
        type = "local"
        """

    settings = load_settings(write(text))

    assert [(one.name, one.type) for one in settings.backends] == [
        ("zulu", f"{HERE}:GateBackend"),
        ("alpha", "local"),
    ]
    assert isinstance(settings.backends[0].options, GateSettings)
    assert settings.backends[0].options.label == "Zulu"


def test_relative_paths_start_at_the_settings_file(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bind.txt").write_text("from the file\n")
    file = write(
        f'[emolytics]\ndatabase = "sqlite:///data/x.db"\nsecret_key = {{ file = "k" }}\n'
        f'[backends.gate]\n{GATE}\nca_file = "ca.pem"\npassword = {{ file = "bind.txt" }}'
    )
    monkeypatch.chdir("/")

    settings = load_settings(str(file))

    assert settings.file == file
    assert settings.folder == tmp_path
    assert settings.database.get_secret_value() == f"sqlite:///{tmp_path}/data/x.db"
    options = settings.backends[0].options
    assert isinstance(options, GateSettings)
    assert options.ca_file == tmp_path / "ca.pem"
    assert options.password.get_secret_value() == "from the file"


@pytest.mark.parametrize(
    "address", ["sqlite://", "sqlite:///:memory:", "sqlite:////srv/x.db", "sqlite:///file:x?uri=true"]
)
def test_a_database_that_is_no_relative_file_stays_as_it_is(address: str) -> None:
    assert load_settings(portal(database=address)).database.get_secret_value() == address


@pytest.mark.parametrize(
    "address",
    ["postgresql+psycopg://u:p%40ss@db.example.com/e", "mariadb+pymysql://u:p@db/e?charset=utf8mb4"],
)
def test_other_databases_keep_their_address_and_do_not_print_it(address: str) -> None:
    settings = load_settings(portal(database=address))

    assert settings.database.get_secret_value() == address
    assert "p%40ss" not in repr(settings)


def test_a_mapping_is_read_as_a_file_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    settings = load_settings({"backends": LOCAL})

    assert settings.file is None
    assert settings.folder == tmp_path
    assert settings.secret_key.sources == (tmp_path / "instance/secret_key",)


def test_problems_of_a_mapping_name_no_file() -> None:
    assert problems(portal(titel="x")) == ['emolytics.titel: is not a known key; did you mean "title"?']


def test_secrets_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMOLYTICS_TEST_DB", "postgresql+psycopg://u:hunter2@h/d")

    settings = load_settings(portal(database={"env": "EMOLYTICS_TEST_DB"}))

    assert settings.database.get_secret_value().endswith("hunter2@h/d")
    assert "hunter2" not in repr(settings)


def test_addresses_are_kept_as_browsers_send_them() -> None:
    settings = load_settings(
        portal(
            public_url="https://LOGIN.Example.com:443/sso/",
            allowed_redirects=["https://App.example.com", "http://localhost:3000/", "https://bücher.example"],
        )
    )

    assert settings.public_url == "https://login.example.com/sso"
    assert settings.allowed_redirects == (
        "https://app.example.com",
        "http://localhost:3000",
        "https://xn--bcher-kva.example",
    )


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "127.8.9.1", "[::1]:8000", "localhost", "a.localhost."])
def test_http_is_allowed_toward_loopback(host: str) -> None:
    assert load_settings(portal(public_url=f"http://{host}")).public_url == f"http://{host}"


def test_a_short_lifetime_shortens_the_idle_time_that_was_not_written() -> None:
    settings = load_settings(portal(session={"lifetime": "4s"}))

    assert settings.session.idle == timedelta(seconds=4)


def test_settings_cannot_be_changed() -> None:
    settings = load_settings({"backends": {"gate": {"type": f"{HERE}:GateBackend"}}})

    for section, key in [
        (settings, "title"),
        (settings.session, "idle"),
        (settings.backends[0].options, "label"),
    ]:
        with pytest.raises(ValidationError):
            setattr(section, key, "other")


def test_a_role_may_come_from_a_backend_that_is_switched_off() -> None:
    source = portal(roles={"admin": ["local:admins", "corp:cn=a,dc=b:c*"]})
    source["backends"] = LOCAL | {"corp": {"type": "ldap", "enabled": False}}

    assert load_settings(source).roles == {"admin": ("local:admins", "corp:cn=a,dc=b:c*")}


# Every problem at once


def test_every_problem_is_told_at_once_with_its_file_line_and_key(write: Write) -> None:
    file = write(
        f"""title = "x"
[emolytics]
titel = "x"
zzz = 1
lifetime = "1h"
trusted_proxies = "1"
[emolytics.session]
idle = "3 hours"
[emolytics.roles]
admin = [
  "local:admins",
  "locl:admins",
]
[backends.local]
type = "lokal"
[backends.gate]
{GATE}
server = []
password = ["x"]
attributes = {{ group = "cn", grup = "cn" }}
[backends.empty]
[backends."x y"]
type = "local"
"""
    )

    assert problems(file) == [
        f"{file}:1: title: is not a key of this table; it belongs in [emolytics]",
        f'{file}:3: emolytics.titel: is not a known key; did you mean "title"?',
        f"{file}:4: emolytics.zzz: is not a known key; known: {', '.join(sorted(PortalSettings.model_fields))}",
        f"{file}:5: emolytics.lifetime: is not a key of this table; it belongs in [emolytics.session]",
        f"{file}:6: emolytics.trusted_proxies: must be a valid integer",
        f'{file}:8: emolytics.session.idle: must be a duration such as "90s", "15m", "12h" or "30d"',
        f'{file}:12: emolytics.roles.admin[1]: "locl" is not a known backend; did you mean "local"?',
        f'{file}:15: backends.local.type: "lokal" is not a known type of backend; did you mean "local"?',
        f'{file}:18: backends.gate.server: is not a known key; did you mean "servers"?',
        f'{file}:19: backends.gate.password: must be a string, {{ env = "NAME" }} or {{ file = "PATH" }}',
        f'{file}:20: backends.gate.attributes.grup: is not a known key; did you mean "group"?',
        f"{file}:21: backends.empty.type: must name a type of backend; installed: {', '.join(installed_types())}",
        f'{file}:22: backends."x y": a backend\'s name begins with a-z and has at most 32 of a-z, 0-9, - and _',
    ]


BAD: list[tuple[str, Any, str]] = [
    ("title", "", "must be one line of visible text"),
    ("title", "a\nb", "must be one line"),
    ("title", 3, "must be a valid string"),
    ("database", "nonsense", "must be a database URL"),
    ("database", "", "must be a database URL"),
    ("database", "postgresql://h:port/d", "must be a database URL"),
    ("database", "foo://u:hunter2@h/d", "a database that SQLAlchemy does not know"),
    ("database", "postgresql+nope://u:hunter2@h/d", "a database that SQLAlchemy does not know"),
    ("database", "mysql://u:hunter2@h/d", "a Python package that is not installed: MySQLdb"),
    ("database", "postgresql+psycopg_async://u:hunter2@h/d", "an asyncio driver"),
    ("database", {"env": "EMOLYTICS_NOT_SET"}, "the environment variable EMOLYTICS_NOT_SET is not set"),
    ("secret_key", "hunter2", "must be at least 16 bytes long"),
    ("secret_key", "changeme-changeme-1", "is a placeholder"),
    ("public_url", "http://login.example.com", "must begin with https://"),
    ("public_url", "http://127.0.0.1.example.com", "must begin with https://"),
    ("public_url", "http://10.0.0.1", "must begin with https://"),
    ("public_url", "ftp://login.example.com", "must be an address such as"),
    ("public_url", "login.example.com", "must be an address such as"),
    ("public_url", "https://u:hunter2@login.example.com", "must not hold a user name"),
    ("public_url", "https://login.example.com/?a=b", "must not hold a user name, a query"),
    ("public_url", "https://login.example.com/#a", "must not hold a user name, a query or a fragment"),
    ("trusted_proxies", -1, "must be greater than or equal to 0"),
    ("trusted_proxies", True, "must be a valid integer"),
    ("allowed_redirects", "https://app.example.com", "must be a valid tuple"),
    ("allowed_redirects[0]", ["https://*.example.com"], "must be an address such as"),
    (
        "allowed_redirects[1]",
        ["https://a.example", "https://a.example/path"],
        "must be an origin without a path",
    ),
    ("allowed_redirects[0]", ["javascript:alert(1)"], "must be an address such as"),
    ("allowed_redirects[0]", ["null"], "must be an address such as"),
    ("default_roles[0]", ["a b"], "a role is 1 to 64 letters"),
    ("session", 3, "must be a table"),
    ("session.lifetime", "12", "must be a duration"),
    ("session.lifetime", 12, "must be a duration"),
    ("session.lifetime", "0s", 'must be between "1s" and "366d"'),
    ("session.lifetime", "999999999d", 'must be between "1s" and "366d"'),
    ("session.idle", "13h", 'must not be longer than lifetime, which is "12h"'),
    ("session.remember", "-1d", "must be a duration"),
    ("limits.storage", "http://cache.example.com", 'must be "database" or an address'),
    ("limits.storage", "redis://", 'must be "database" or an address'),
    ("limits.failures", 0, "must be greater than or equal to 1"),
    ("limits.failures", 10**30, "must be less than or equal to 1000"),
    ("limits.failures", 2.0, "must be a valid integer"),
    ("hashing.scheme", "md5", "must be 'bcrypt'"),
    ("hashing.cost", 3, "must be greater than or equal to 4"),
    ("hashing.cost", 17, "must be less than or equal to 16"),
    ("passwords.minimum_length", 7, "must be greater than or equal to 8"),
    ("passwords.minimum_length", 65, "must be less than or equal to 64"),
    ("passwords.context_words[0]", ["ab"], "must have at least 3 characters"),
    ("roles", [], "must be a table"),
    ('roles."a b"', {"a b": []}, "a role is 1 to 64 letters"),
    ("roles.admin[0]", {"admin": ["admins"]}, 'must be "BACKEND:GROUP"'),
    ("roles.admin[0]", {"admin": ["local:"]}, 'must be "BACKEND:GROUP"'),
    ("roles.admin[0]", {"admin": ["nowhere:admins"]}, '"nowhere" is not a known backend; known: local'),
]


@pytest.mark.parametrize(("key", "value", "told"), BAD, ids=lambda value: str(value)[:40])
def test_a_bad_value_is_refused_at_its_key_and_secrets_are_not_repeated(
    key: str, value: Any, told: str
) -> None:
    section, _, leaf = key.partition("[")[0].partition(".")
    table = {section: {leaf: value} if leaf and section != "roles" else value}

    (problem,) = problems(portal(**table))

    assert problem.startswith(f"emolytics.{key}: ")
    assert told in problem
    assert "hunter2" not in problem


def test_a_package_that_the_store_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emolytics.settings_urls.find_spec", lambda _name: None)

    (problem,) = problems(portal(limits={"storage": "rediss://:hunter2@cache.example.com/0"}))

    assert problem.endswith('not installed: redis (pip install "emolytics[redis]")')


@pytest.mark.parametrize("word", sorted(ROUTE_WORDS))
def test_no_backend_can_be_called_as_a_page_is(word: str) -> None:
    assert problems({"backends": {word: {"type": "local"}}}) == [
        f'backends.{word}: a backend cannot be called "{word}": that is a page\'s name'
    ]


@pytest.mark.parametrize("name", ["", "A", "1a", "a.b", "a/b", "a" * 33, "a\n", "é", "a:b"])
def test_a_backends_name_fits_into_an_address(name: str) -> None:
    (problem,) = problems({"backends": {name: {"type": "local"}}})

    assert "a backend's name begins with a-z" in problem
    assert "\n" not in problem


@pytest.mark.parametrize("value", ["no", 0, "false"])
def test_enabled_is_true_or_false_and_nothing_like_it(value: Any) -> None:
    told = problems({"backends": {"local": {"type": "local", "enabled": value}}})

    assert "backends.local.enabled: must be true or false" in told


@pytest.mark.parametrize("source", [{}, {"backends": {}}, {"backends": {"local": {"enabled": False}}}])
def test_settings_without_a_backend_say_what_to_add(source: dict[str, Any]) -> None:
    assert problems(source) == [
        'backends: none is on: add a table such as [backends.local] with type = "local"'
    ]


@pytest.mark.parametrize("source", [{"emolytics": 3}, {"backends": []}, {"backends": {"local": 3}}])
def test_what_must_be_a_table_is_said_so(source: dict[str, Any]) -> None:
    assert any(problem.endswith(": must be a table") for problem in problems(source))


@pytest.mark.parametrize(
    ("secret", "message"),
    [("12345678901", "******** is a number"), ({"env": "EMOLYTICS_TEST_PIN"}, "******** is")],
)
def test_a_backends_own_check_cannot_give_a_secret_away(
    secret: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMOLYTICS_TEST_PIN", "4711471147")

    (problem,) = problems({"backends": {"gate": {"type": f"{HERE}:GateBackend", "password": secret}}})

    assert message in problem


def test_nobody_can_write_a_line_of_their_own_into_a_message(write: Write) -> None:
    for problem in problems(write('[emolytics]\n"a\\nerror: b\\u001b[0m" = 1\n[backends.x]\ntype = "a\\nb"')):
        assert problem.isprintable()


# The file itself


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    file = tmp_path / "nothing.toml"

    assert problems(file) == [f"{file}: cannot be read: No such file or directory"]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert problems(tmp_path) == [f"{tmp_path}: cannot be read: Is a directory"]


def test_a_file_that_may_not_be_read(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    file = write("")
    monkeypatch.setattr(Path, "open", refuse)

    assert problems(file) == [f"{file}: cannot be read: Permission denied"]


def test_a_name_that_no_file_can_have() -> None:
    assert problems("a\0b") == ["a\0b: is not a file name"]


def test_bytes_that_are_not_text(write: Write) -> None:
    file = write("")
    file.write_bytes(b"[emolytics]\ntitle = '\xff'")

    assert problems(file) == [f"{file}: is not UTF-8 text (at byte 21)"]


def test_a_file_far_too_large_is_not_read_to_its_end(write: Write) -> None:
    file = write("#" * (1024 * 1024 + 1))

    assert problems(file) == [f"{file}: is larger than 1 MiB: not a settings file"]


@pytest.mark.parametrize(
    ("text", "line"),
    [("a = 1\nb = \n", 2), ("a = 1\nb = ", 2), ('a = """\n\n', 3), ("a = 1\na = 2", 2), ("[a", 1)],
)
def test_a_mistake_in_the_toml_is_told_with_its_line(text: str, line: int, write: Write) -> None:
    file = write(text)

    (problem,) = problems(file)

    assert problem.startswith(f"{file}:{line}: is not valid TOML: ")


def test_arrays_without_end_are_refused(write: Write) -> None:
    (problem,) = problems(write("a = " + "[" * 100_000))

    assert "nested too deeply" in problem or "not valid TOML" in problem


def test_a_byte_order_mark_is_no_mistake(write: Write) -> None:
    file = write("")
    file.write_bytes(b'\xef\xbb\xbf[backends.local]\r\ntype = "local"\r\n')

    assert load_settings(file).backends


# Whatever is written

KNOWN = sorted(
    {"emolytics", "backends", "local", "type", "enabled", "label", "usernames", "env", "file", "attributes"}
    | set(PortalSettings.model_fields)
    | {
        key
        for model in PortalSettings.model_fields.values()
        for key in getattr(model.annotation, "model_fields", {})
    }
    | set(GateSettings.model_fields)
)
KEYS = st.sampled_from(KNOWN) | st.text(max_size=8)
SCALARS = (
    st.sampled_from(
        [KEY, "local", f"{HERE}:GateBackend", "database", "sqlite://", "https://a.example", "1h", "a:b"]
    )
    | st.text(st.characters(), max_size=12)
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.datetimes()
    | st.dates()
    | st.times()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
TABLES = st.dictionaries(KEYS, VALUES, max_size=5)


def loads_or_refuses(source: Any) -> None:
    """Any other exception fails the test."""
    told = ["nothing"]
    try:
        load_settings(source)
    except SettingsError as error:
        told = [problem.message for problem in error.problems]
    assert told
    assert all(told)


@profile(deadline=None)
@given(
    st.fixed_dictionaries(
        {}, optional={"emolytics": TABLES | VALUES, "backends": st.dictionaries(KEYS, TABLES)}
    )
    | TABLES
)
def test_no_mapping_raises_anything_but_a_settings_error(source: dict[str, Any]) -> None:
    loads_or_refuses(source)


@profile(deadline=None)
@given(st.sampled_from(KNOWN), VALUES)
def test_no_value_of_a_known_key_raises_anything_but_a_settings_error(key: str, value: Any) -> None:
    sections = [*PortalSettings.model_fields, None]
    for section in sections:
        loads_or_refuses(
            {"emolytics": {section: {key: value}} if section else {key: value}, "backends": LOCAL}
        )
    loads_or_refuses({"backends": {"gate": {"type": f"{HERE}:GateBackend", key: value}}})


@profile(deadline=None)
@given(
    st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_no_file_raises_anything_but_a_settings_error(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "settings.toml"
        file.write_bytes(content)

        loads_or_refuses(file)


def test_values_that_only_toml_has_are_refused_in_words() -> None:
    (problem,) = problems(portal(title=dt.datetime(2026, 1, 1, tzinfo=dt.UTC)))

    assert problem == "emolytics.title: must be a valid string"
