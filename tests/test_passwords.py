"""Which new passwords are taken (ASVS 6.2, SECURITY-CASES 1.1 and 2.E)."""

import gzip
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import emolytics.passwords
from emolytics.errors import PasswordRefused
from emolytics.passwords import MAX_LENGTH, PasswordPolicy, common_passwords

SHIPPED = Path(emolytics.passwords.__file__).with_name("data")
ALICE = ("alice", "Alice Möller-Smith", "a.smith@example.org")
POLICY = PasswordPolicy(context_words=("Emolytics", "Acme Portal", "login.acme.example"))
LENIENT = PasswordPolicy(minimum_length=8, context_words=POLICY.context_words)


def refusal(password: str, policy: PasswordPolicy = LENIENT, about: tuple[str, ...] = ALICE) -> str:
    with pytest.raises(PasswordRefused) as refused:
        policy.check(password, about=about)
    return str(refused.value)


# --- Length ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("minimum", "short"), [(8, "k7#Vq2x"), (12, "k7#Vq2xLp0w"), (15, "k7#Vq2xLp0wZr4")])
def test_6_2_1_a_short_password_is_refused_and_one_more_character_will_do(minimum: int, short: str) -> None:
    policy = PasswordPolicy(minimum)

    assert refusal(short, policy) == f"Use at least {minimum} characters; this password has {minimum - 1}."
    policy.check(short + "m")


def test_6_2_1_the_default_minimum_is_12() -> None:
    assert PasswordPolicy().minimum_length == 12


@pytest.mark.parametrize("minimum", [-1, 0, 7, 257])
def test_6_2_1_a_policy_below_8_cannot_be_made(minimum: int) -> None:
    with pytest.raises(ValueError, match="from 8 to 256"):
        PasswordPolicy(minimum)


@pytest.mark.parametrize("length", [64, 72, 73, 200, MAX_LENGTH])
def test_6_2_9_long_passwords_are_possible(length: int) -> None:
    POLICY.check(("correct horse battery staple " * 9)[-length:])


def test_the_longest_password_is_counted_in_code_points_not_in_bytes() -> None:
    longest = "".join(chr(0x1F300 + number) for number in range(MAX_LENGTH))

    POLICY.check(longest)

    assert refusal(longest + "x") == "Use at most 256 characters."


def test_an_accented_letter_is_one_character_however_it_is_typed() -> None:
    composed = "éàüöñçîkwpzr"
    decomposed = unicodedata.normalize("NFD", composed)
    assert len(decomposed) > 12

    POLICY.check(composed)
    POLICY.check(decomposed)

    expected = "Use at least 12 characters; this password has 11."
    assert refusal(composed[1:], POLICY) == refusal(decomposed[2:], POLICY) == expected


def test_a_character_that_normalising_takes_apart_counts_once() -> None:
    assert refusal("k7#Vq2\u0344") == "Use at least 8 characters; this password has 7."


def test_a_huge_password_is_refused_before_it_is_normalised(monkeypatch: pytest.MonkeyPatch) -> None:
    def must_not_run(form: str, text: str) -> str:
        raise AssertionError("normalised")

    with monkeypatch.context() as patch:
        patch.setattr(unicodedata, "normalize", must_not_run)
        with pytest.raises(PasswordRefused):
            POLICY.check("\u0344" * 1_000_000)


def test_an_empty_password_is_refused() -> None:
    assert refusal("") == "Use at least 8 characters; this password has 0."


# --- What may be in it -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple",
        "correcthorsebattery",
        "onlylowercaseletters",
        "ONLYUPPERCASELETTERS",
        "482915730264",
        "§&/()=?*~#_-<>|",
        "    indented by four",
        "trailing space and tab \t",
        "über den wölken",
        "пока не поздно, беги",
        "月が綺麗ですね、本当に綺麗だ",
        "🐎🔋📎🌲🚲🎻🧊🪐🦔🎲🧵🥝",
        "x7#kQ9!vLm2$",
        "monkey 48291573 tree",
    ],
)
def test_6_2_5_no_kind_of_character_is_demanded_or_forbidden(password: str) -> None:
    POLICY.check(password, about=ALICE)


@pytest.mark.parametrize(
    "password", ["long enough\0but", "\0" * 12, "half a \ud83d character", "\udc80" * 12]
)
def test_what_no_backend_can_be_asked_with_is_refused(password: str) -> None:
    assert refusal(password) == "This password holds a character that cannot be stored."


# --- Common passwords --------------------------------------------------------------------------------------


def test_6_2_4_the_shipped_list_holds_more_than_the_3000_that_fit_the_policy() -> None:
    long_enough = [password for password in common_passwords() if len(password) >= 8]

    assert len(common_passwords()) > 50_000
    assert len(long_enough) > 20_000


def test_6_2_4_the_3000_most_common_of_8_characters_are_refused_in_any_case() -> None:
    lines = gzip.decompress((SHIPPED / "common_passwords.txt.gz").read_bytes()).decode().splitlines()
    most_common = [line for line in lines if len(line) >= 8][:3000]
    assert {"password1", "12345678", "iloveyou", "qwertyuiop"} <= set(most_common)

    for password in most_common:
        refusal(password, about=())
        refusal(password.upper(), about=())


def test_every_line_of_the_list_is_in_the_form_that_passwords_are_compared_in() -> None:
    for line in common_passwords():
        assert unicodedata.normalize("NFKC", line.casefold()) == line


def test_the_list_comes_with_its_source_and_licence() -> None:
    notice = (SHIPPED / "NOTICE").read_text(encoding="utf-8")

    for word in (
        "common_passwords.txt.gz",
        "Django",
        "zxcvbn-ts",
        "Redistribution",
        "Permission is hereby granted",
    ):
        assert word in notice


def test_the_list_is_read_when_it_is_first_needed_and_once() -> None:
    common_passwords.cache_clear()

    refusal("short")
    assert common_passwords.cache_info().currsize == 0

    refusal("password1")
    refusal("password2")
    assert common_passwords.cache_info().misses == 1


TOO_COMMON = "This password is too close to one that attackers try first."


@pytest.mark.parametrize(
    "password",
    [
        *(
            "password1",
            "12345678",
            "Password1!",
            "PASSWORD2026",
            "password1234",
            "P@ssw0rd1234!",
            "pa55word#1",
        ),
        *(
            "qwertyuiop12",
            "123456789012",
            "1qaz2wsx3edc",
            "iloveyou2026",
            "!!Dragon!!",
            "2026-summer",
            "monkey48291",
        ),
        *("passwordpassword", "letmein letmein", "ｐａｓｓｗｏｒｄ１", "пароль123456", "password 12345678"),
    ],
)
def test_6_2_4_a_common_password_is_refused_with_a_little_added_too(password: str) -> None:
    assert refusal(password) in (TOO_COMMON, PATTERN)


def test_6_2_4_a_common_word_in_disguise_is_known() -> None:
    assert "3l3ph4nt" not in common_passwords()

    assert refusal("3l3ph4nt2026") == TOO_COMMON
    assert refusal("2026b4rc3l0n4") == TOO_COMMON


def test_a_common_word_with_enough_beside_it_is_taken() -> None:
    LENIENT.check("monkey-48291573")


PATTERN = "This password repeats a short pattern or follows the keyboard."


@pytest.mark.parametrize(
    "password",
    [
        *(
            "aaaaaaaaaaaa",
            "            ",
            "\u200b" * 12,
            "xyxyxyxyxyxy",
            "k7#Vk7#Vk7#V",
            "k7#Vq2xk7#Vq2xk7#V",
        ),
        *("abcdefghijkl", "lkjihgfedcba", "9876543210ab", "qwertyasdfgh", "asdfjkl;asdf", "yxcvbnm,.-yxcvb"),
        *("aaaabbbbcccc", "4567890123456"),
    ],
)
def test_a_pattern_is_refused(password: str) -> None:
    assert refusal(password) in (PATTERN, TOO_COMMON)


# --- Words of the service and of the person ----------------------------------------------------------------

TOO_CLOSE = "This password is too close to your own name or address, or to the name of this service."


@pytest.mark.parametrize(
    "password",
    [
        *(
            "Emolytics2026",
            "emolytics!!!",
            "3m0lyt1c$2026",
            "EMOLYTICSEMOLYTICS",
            "my-emolytics",
            "2026emolytics12",
        ),
        *("AcmePortal2026", "portal-acme-1", "login.acme.example", "Login.Acme.1", "ｅｍｏｌｙｔｉｃｓ１"),
        "Emolytics12345678",
    ],
)
def test_6_2_11_a_word_of_the_service_is_refused_with_a_little_added(password: str) -> None:
    assert refusal(password) == TOO_CLOSE


@pytest.mark.parametrize(
    "password",
    [
        *(
            "alicealice",
            "Alice2026!",
            "4l1ce2026!",
            "12345678alice",
            "a.smith@example.org",
            "a.smith@example.org1",
        ),
        *("alicemöller", "MÖLLERSMITH1", "Mo\u0308ller-Smith", "smith-alice-99"),
    ],
)
def test_the_persons_own_names_and_address_are_refused(password: str) -> None:
    assert refusal(password) == TOO_CLOSE
    LENIENT.check("k7#Vq2xLp0w", about=ALICE)


@pytest.mark.parametrize(
    "password",
    [
        *("htims-rellöm", "ecila!2026!!", "2026scitylome", "scitylome-99"),
        *("Emolitics-2026", "emollytics!!", "Alicia1815!!"),
    ],
)
def test_a_name_backwards_or_with_a_letter_changed_is_refused(password: str) -> None:
    about = (*ALICE, "Alicja")
    assert refusal(password, about=about) == TOO_CLOSE


def test_what_only_shares_letters_with_a_name_does_no_harm() -> None:
    for password in ("malicious otters", "palace-of-elms", "silence-of-moles", "eclipse-74-moth"):
        LENIENT.check(password, about=ALICE)


@pytest.mark.parametrize("rest", ["-fghijklmn", "-princess1!", "kjkjkjkjkjkj"])
def test_what_stands_beside_a_known_word_must_not_be_known_itself(rest: str) -> None:
    assert refusal(f"Emolytics{rest}") == TOO_CLOSE


def test_the_part_of_an_address_before_the_at_sign_is_a_name() -> None:
    assert refusal("bob!2026!!", about=("bob@mail.example",)) == TOO_CLOSE


def test_words_of_both_together_are_refused() -> None:
    assert refusal("alexander-emolytics", about=("Alexander",)) == TOO_CLOSE


def test_names_that_occur_in_a_longer_sentence_do_no_harm() -> None:
    POLICY.check("alice planted nine pear trees", about=ALICE)
    POLICY.check("emolytics has a good lock", about=ALICE)


def test_names_too_short_to_mean_anything_do_no_harm() -> None:
    LENIENT.check("jo7Kp2qz", about=("jo", "Jo K", "q@x.example", "", " ", "@"))


@pytest.mark.parametrize("about", [("田中",), ("Дима",), ("İpek",), ("Straße",)])
def test_names_of_any_script_are_known_again(about: tuple[str, ...]) -> None:
    assert refusal(f"{about[0].upper()}!!2026!", about=about) == TOO_CLOSE


# --- For every text ----------------------------------------------------------------------------------------


@given(st.text(max_size=300), st.lists(st.text(max_size=40), max_size=4))
def test_the_answer_is_none_or_one_sentence_without_the_password(password: str, about: list[str]) -> None:
    try:
        LENIENT.check(password, about=about)
    except PasswordRefused as refused:
        sentence = str(refused)
        assert sentence.endswith(".")
        assert sentence.isascii()
        assert len(password) < 6 or password not in sentence
    else:
        assert 8 <= len(password) <= MAX_LENGTH
        assert "\0" not in password
        assert password.encode()


@given(st.text(st.sampled_from("abcdefghijkmnpqrstuvwxyz"), min_size=1, max_size=8))
def test_the_policy_is_the_same_in_any_case(word: str) -> None:
    def taken(password: str) -> bool:
        try:
            LENIENT.check(password)
        except PasswordRefused:
            return False
        return True

    assert taken(f"{word}!93ab5") == taken(f"{word.upper()}!93AB5")
