"""What is wrong with a target and where, the words of target files, and host names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rawscan.errors import UsageError
from rawscan.model import IPAddress
from rawscan.targets import TargetSet, Token, split_exclude, split_tokens


def parse(*tokens: str) -> TargetSet:
    return TargetSet.parse(tokens)


# --- Names ---------------------------------------------------------------------------------

HOSTS: dict[str, list[IPAddress]] = {
    "one.example": [IPv4Address("10.0.0.1")],
    "both.example": [IPv4Address("10.0.0.77"), IPv6Address("fd00::77")],
    "six.example": [IPv6Address("fe80::6%eth0")],
    "alias.example": [IPv4Address("10.0.0.1")],
    "none.example": [],
}


def resolve(name: str) -> list[IPAddress]:
    if name not in HOSTS:
        raise OSError("Name or service not known")
    return HOSTS[name]


def test_names_are_kept_as_written() -> None:
    tokens = ["one.example", "both.example", "10.0.0.2", "six.example", "alias.example"]
    targets = TargetSet.parse(tokens, resolve)
    v4_names = {IPv4Address("10.0.0.1"): "one.example", IPv4Address("10.0.0.77"): "both.example"}
    v6_names = {IPv6Address("fd00::77"): "both.example", IPv6Address("fe80::6"): "six.example"}
    assert targets.names == v4_names | v6_names
    assert (targets.v4.names, targets.v6.names) == (v4_names, v6_names)
    assert all(address in targets for address in targets.names)
    less = targets - parse("10.0.0.0/29", "fd00::/16")
    assert less.names == {
        IPv4Address("10.0.0.77"): "both.example",
        IPv6Address("fe80::6"): "six.example",
    }
    again = TargetSet.parse(["alias.example"], resolve)
    assert (again | targets).names[IPv4Address("10.0.0.1")] == "alias.example"
    assert (again | targets) == targets


def test_a_prefix_on_a_name_is_for_its_ipv4_addresses() -> None:
    targets = TargetSet.parse(["both.example/24"], resolve)
    assert list(targets.specs()) == ["10.0.0.0/24"]
    assert targets.names == {IPv4Address("10.0.0.77"): "both.example"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("gone.example", "'gone.example' cannot be resolved (Name or service not known)"),
        ("none.example", "'none.example' has no address"),
        ("six.example/24", "'six.example' has no IPv4 address"),
        ("one.example/33", "column 12: prefix /33 is longer than 32"),
    ],
)
def test_a_name_that_gives_nothing(text: str, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        TargetSet.parse(["10.0.0.1", text], resolve)
    assert str(caught.value).startswith("argument 2, column ")
    assert problem in str(caught.value)
    with pytest.raises(UsageError):
        parse(text)


# --- Errors --------------------------------------------------------------------------------

BAD = [
    ("", 1, "empty"),
    ("10.0.0.300", 8, "octet 300 is above 255"),
    ("10.0.1,256.1", 8, "octet 256 is above 255"),
    ("10.0.0.1-999", 10, "octet 999 is above 255"),
    ("10.01.0.1", 4, "octet 01 starts with 0"),
    ("10..0.1", 4, "octet is missing"),
    ("10.0.0.1,", 10, "octet is missing"),
    ("10.0.0.1-2-3", 10, "octet '2-3' is no number"),
    ("10.0.0.**", 8, "octet '**' is no number"),
    ("10.0.0.9-1", 8, "range 9-1 runs backwards"),
    ("10.0.0.1,7-5", 10, "range 7-5 runs backwards"),
    ("10.0.0", 1, "four octets, '10.0.0' has 3"),
    ("1.2.3.4.5", 1, "four octets, '1.2.3.4.5' has 5"),
    ("10.0.0.1,10.0.0.2", 9, "a comma joins octets"),
    ("10.0.0.0/33", 9, "prefix /33 is longer than 32"),
    ("10.0.0.0/", 9, "prefix '/' is no number"),
    ("10.0.0.0/255.0.0.0", 9, "prefix '/255.0.0.0' is no number"),
    ("/24", 1, "address is missing"),
    ("10.0.*.0/24", 6, "pattern ('*') takes no prefix"),
    ("10.0.0.1-5/24", 9, "pattern ('-') takes no prefix"),
    ("10.0.0.1-10.0.0.9/24", 18, "range takes no prefix"),
    ("10.0.0.9-10.0.0.1", 1, "range runs backwards: 10.0.0.9 is above 10.0.0.1"),
    ("10.0.0.1-10.0.1", 10, "four octets, '10.0.1' has 3"),
    ("10.0.0.1-10.0.0.256", 17, "octet 256 is above 255"),
    ("10.0.0.1-fd00::1", 1, "'10.0.0.1', is no IPv6 address"),
    ("fd00::1-ff", 9, "'ff', is no IPv6 address"),
    ("fd00::5-fd00::1", 1, "range runs backwards: fd00::5 is above fd00::1"),
    ("fd00::1-fd00::5/64", 16, "range takes no prefix"),
    ("fd00::/129", 7, "prefix /129 is longer than 128"),
    ("fd00::12345", 7, "group '12345'"),
    ("[fd00::xyz]", 8, "group 'xyz'"),
    ("fd00:::1", 1, "'fd00:::1' is no IPv6 address"),
    ("fe80::1%eth0", 8, "--interface"),
    ("fe80::1%eth0/64", 8, "--interface"),
    ("http://10.0.0.1/", 5, "URL"),
    ("10.0.0.1:80", 9, "-p"),
    ("[::1]:80", 6, "-p"),
    ("*.example.com", 1, "'*' can be in no address"),
    ("a b", 2, "' ' can be in no address"),
    ("evil\x1b[31m", 5, r"'\x1b' can be in no address"),
    ("a..example", 1, "'a..example' is no host name"),
    ("-sS", 1, "'-sS' is no host name"),
    ("www.example.com", 1, "'www.example.com' cannot be resolved"),
]


@pytest.mark.parametrize(("text", "column", "problem"), BAD)
def test_a_bad_token_is_named_with_its_place(text: str, column: int, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse("10.0.0.1", text)
    message = str(caught.value)
    assert message.startswith(f"argument 2, column {column}: ")
    assert problem in message
    assert f"in {text!r}" in message
    right = message.partition("right would be, for example, ")[2]
    assert right
    if {".", ":"} & set(right) and " -" not in right:
        assert TargetSet.parse([right], lambda _: [IPv4Address(1)])


@pytest.mark.parametrize(
    ("text", "column", "problem"), [bad for bad in BAD if bad[0] and " " not in bad[0]]
)
def test_a_bad_token_in_a_file(text: str, column: int, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        TargetSet.parse(split_tokens(f"::1 # fine\n10.0.0.1\t{text} x", "hosts.txt"))
    assert str(caught.value).startswith(f"hosts.txt, line 2, column {9 + column}: ")
    assert problem in str(caught.value)


@given(st.text() | st.text(alphabet="0123456789afg.,-*/:[]%_ \n#"))
@settings(deadline=None, max_examples=500)
@example("1" * 5000)
@example("10.0.0.0/" + "1" * 5000)
@example("1.1.1.٣")
@example("::1/²")
def test_anything_else_is_a_usage_error(text: str) -> None:
    for tokens in ([text], split_tokens(text, "file"), split_exclude(text)):
        message = complaint(tokens)
        assert len(message) < 1000
        assert message.isprintable()


def complaint(tokens: Iterable[str | Token]) -> str:
    """What is said against the tokens; empty when nothing is."""
    try:
        TargetSet.parse(tokens)
    except UsageError as error:
        return str(error)
    return ""


# --- Words ---------------------------------------------------------------------------------


def test_words_of_a_file() -> None:
    text = "\ufeff10.0.0.1  10.0.1-3.*,\r\n# all comment 10.9.9.9\n\n\tfd00::1#glued\nlast"
    assert list(split_tokens(text, "f")) == [
        Token("10.0.0.1", "f", 1, 2),
        Token("10.0.1-3.*,", "f", 1, 12),
        Token("fd00::1", "f", 4, 2),
        Token("last", "f", 5, 1),
    ]


def test_words_of_an_exclude_list() -> None:
    assert list(split_exclude("10.0.0.1, 10.0.0.5-9,,::1")) == [
        Token("10.0.0.1", "--exclude", None, 1),
        Token("10.0.0.5-9", "--exclude", None, 11),
        Token("::1", "--exclude", None, 23),
    ]


EXCLUDES = {
    # nmap's style: commas between whole targets
    "10.0.0.1,10.0.0.5-9": ["10.0.0.1", "10.0.0.5-9"],
    "10.0.0.0/24,fd00::/64,printer,10.0.0.1-10.0.1.5": [
        "10.0.0.0/24", "fd00::/64", "printer", "10.0.0.1-10.0.1.5",
    ],
    "10.0.0.*,10.1-2.0.7": ["10.0.0.*", "10.1-2.0.7"],
    # a target's commas
    "10.0.0.1,3": ["10.0.0.1,3"],
    "10.0,1.*.5,7-9": ["10.0,1.*.5,7-9"],
    # the same, apart
    "10.0.0.1,3 10.0.0.7": ["10.0.0.1,3", "10.0.0.7"],
    " ,10.0.0.1,3, ::1 , ": ["10.0.0.1,3", "::1"],
    # neither: left whole, to be refused as a target would be
    "10.0.0.1,3,10.0.0.7": ["10.0.0.1,3,10.0.0.7"],
    "10.0.0.1,10": ["10.0.0.1,10"],
}  # fmt: skip


@pytest.mark.parametrize("text", EXCLUDES)
def test_commas_of_an_exclude_part_whole_targets_only(text: str) -> None:
    assert [token.text for token in split_exclude(text)] == EXCLUDES[text]


OCTET = st.lists(
    st.one_of(
        st.integers(0, 255).map(str),
        st.tuples(st.integers(0, 99), st.integers(100, 255)).map("{0[0]}-{0[1]}".format),
        st.sampled_from(["*", "-", "9-", "-9"]),
    ),
    min_size=1,
    max_size=3,
).map(",".join)


@given(st.lists(OCTET, min_size=4, max_size=4).map(".".join))
def test_an_exclude_means_what_the_same_target_means(text: str) -> None:
    assert TargetSet.parse(split_exclude(text)) == parse(text)


@given(st.text(alphabet="ab,.# \t\n"))
def test_words_stand_where_they_say(text: str) -> None:
    tokens = list(split_tokens(text, "f"))
    lines = text.split("\n")
    for token in tokens:
        assert token.line is not None
        assert lines[token.line - 1][token.column - 1 :].startswith(token.text)
    assert [token.text for token in tokens] == list(words(lines))


def words(lines: list[str]) -> Iterator[str]:
    for line in lines:
        yield from line.partition("#")[0].split()
