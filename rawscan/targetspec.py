"""The target grammar: from what a user writes to spans of addresses and patterns. Touches nothing.

Names are resolved by a callable that is passed in. The grammar is that of the chapter "Target
Specification" in nmap's reference guide, with IPv4 and IPv6 in one list, and with ranges between
whole addresses:

- `10.0.0.5`, `fd00::5`, `[fd00::5]`
- `10.0.0.5/24`, `fd00::/64`: the whole prefix, whatever its host bits
- `10.0.0.1-10.0.1.5`, `fd00::1-fd00::ff`: both ends included
- `10.0-3.*.1,5,7-9`: IPv4 octets may be lists of numbers and ranges; `*` and `-` are 0-255, `5-` is
  5-255, `-5` is 0-5
- `printer.example.com`, `printer.example.com/24`: the prefix applies to the name's IPv4 addresses,
  and its IPv6 addresses are then left out

Whatever else is there raises `UsageError`, which names the part that is wrong and where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from rawscan.addrset import Octets, Span, merge_spans
from rawscan.errors import UsageError
from rawscan.model import IPAddress

Resolver = Callable[[str], Sequence[IPAddress]]
"""Host name to addresses. May raise OSError or UsageError."""

_OCTETS = {str(value): value for value in range(256)}
_MANY_SPANS = 16
"""A pattern that is at most this many spans is bulk-built as spans, which is quicker."""

_WORD = re.compile(r"(?P<newline>\n)|#[^\r\n]*|(?P<word>[^\s#\ufeff]+)")
_SPACED = re.compile(r"\S+")
_WHOLE = re.compile(r"[.].*[.].*[.]|:|[^\W\d_]")
_NUMERIC = re.compile(r"[0-9.*,/-]+")
_WITH_PORT = re.compile(r"(?:[^:\[\]]*|\[.*\]):[0-9*,-]*")
_NAME_WRONG = re.compile(r"[^\w.-]")

_EXAMPLE_V4 = "10.0.0.1-20"
_EXAMPLE_V6 = "fd00::1-fd00::ff"
_EXAMPLE_NAME = "printer.example.com"


@dataclass(frozen=True, slots=True)
class Token:
    """One word of a target list and where it stood.

    `origin` is what the user calls the source ("argument 2", "hosts.txt"). `line` and `column`
    count from 1; `line` is None where there are no lines.
    """

    text: str
    origin: str
    line: int | None = None
    column: int = 1

    def wrong(self, offset: int, what: str, example: str) -> UsageError:
        """The error to raise about the part that starts `offset` characters into the text."""
        line = "" if self.line is None else f", line {self.line}"
        shown = self.text if len(self.text) <= 80 else self.text[:77] + "..."
        return UsageError(
            f"{self.origin}{line}, column {self.column + offset}: {what}, in {shown!r}; "
            f"right would be, for example, {example}"
        )


def split_tokens(text: str, origin: str) -> Iterator[Token]:
    """The words of a target file: split at white space, `#` starts a comment to the line's end.

    Commas do not split, so octet lists work: `10.0.0.1,5`.
    """
    line, line_start = 1, 0
    for match in _WORD.finditer(text):
        if match.lastgroup == "newline":
            line, line_start = line + 1, match.end()
        elif match.lastgroup == "word":
            yield Token(match[0], origin, line, match.start() - line_start + 1)


def split_exclude(text: str, origin: str = "--exclude") -> Iterator[Token]:
    """The targets of `--exclude`: split at white space, and at commas that can only part targets.

    A comma parts targets where each piece by itself looks like a whole one: three dots, a colon or
    a letter. So `10.0.0.1,10.0.0.5-9` is two targets, as in nmap, and `10.0.0.1,3` is the octet
    list that it is as a target: no octet pattern is ever torn apart.
    """
    for match in _SPACED.finditer(text):
        word = match[0].strip(",")  # as in `10.0.0.1, 10.0.0.2`
        column = match.start() + match[0].index(word) + 1
        pieces = word.split(",")
        if not all(_WHOLE.search(piece) for piece in pieces if piece):
            pieces = [word]
        for piece in pieces:
            if piece:
                yield Token(piece, origin, None, column)
            column += len(piece) + 1


@dataclass(slots=True)
class Found:
    """What the tokens read so far mean: spans and octet patterns in any order, and names.

    `names` holds what a host name stood for, with the first name that the user gave it.
    """

    v4: list[Span] = field(default_factory=list)
    v6: list[Span] = field(default_factory=list)
    patterns: list[Octets] = field(default_factory=list)
    names: dict[IPAddress, str] = field(default_factory=dict)


def _shown(part: str) -> str:
    return repr(part if len(part) <= 40 else part[:37] + "...")


def _octet(token: Token, text: str, offset: int) -> int:
    if text in _OCTETS:
        return _OCTETS[text]
    if not (text.isascii() and text.isdigit()):
        what = f"octet {_shown(text)} is no number" if text else "an octet is missing"
    elif text.startswith("0"):
        what = f"octet {text[:40]} starts with 0, which some programs read as octal"
    else:
        what = f"octet {text[:40]} is above 255"
    raise token.wrong(offset, what, _EXAMPLE_V4)


def _octet_runs(token: Token, text: str, offset: int) -> tuple[Span, ...]:
    """One octet of a pattern: a list of numbers, ranges with open ends, and `*`."""
    runs: list[Span] = []
    for item in text.split(","):
        first, dash, last = item.partition("-")
        if item == "*":
            runs.append((0, 255))
        elif dash:
            low = _octet(token, first, offset) if first else 0
            high = _octet(token, last, offset + len(first) + 1) if last else 255
            if low > high:
                raise token.wrong(offset, f"range {item} runs backwards", f"{high}-{low}")
            runs.append((low, high))
        else:
            value = _octet(token, item, offset)
            runs.append((value, value))
        offset += len(item) + 1
    return tuple(merge_spans(runs))


def _four(token: Token, text: str, offset: int) -> list[tuple[str, int]]:
    """The four octets, as text, each with its offset in the token."""
    parts = text.split(".")
    if not text:
        raise token.wrong(offset, "an address is missing", _EXAMPLE_V4)
    if len(parts) != 4:
        what = f"an IPv4 address has four octets, {_shown(text)} has {len(parts)}"
        if len(parts) > 4 and "," in text:
            what = "a comma joins octets, not targets: put white space between targets"
            offset += text.index(",")
        raise token.wrong(offset, what, _EXAMPLE_V4)
    starts = [offset + sum(len(part) + 1 for part in parts[:place]) for place in range(4)]
    return list(zip(parts, starts, strict=True))


def _v4_address(token: Token, text: str, offset: int) -> int:
    value = 0
    for part, start in _four(token, text, offset):
        value = value << 8 | _octet(token, part, start)
    return value


def _v6_address(token: Token, text: str, offset: int) -> int:
    if text.startswith("[") and text.endswith("]"):
        text, offset = text[1:-1], offset + 1
    try:
        return int(IPv6Address(text))
    except AddressValueError as error:
        for match in re.finditer(r"[^:]+", text):
            if "." not in match[0] and not re.fullmatch(r"[0-9A-Fa-f]{1,4}", match[0]):
                what = f"group {_shown(match[0])} is not one to four hexadecimal digits"
                raise token.wrong(offset + match.start(), what, _EXAMPLE_V6) from error
        what = f"{_shown(text)} is no IPv6 address ({str(error)[:80]})"
        raise token.wrong(offset, what, _EXAMPLE_V6) from error


def _prefix(token: Token, text: str, offset: int, bits: int) -> int:
    """The prefix length; `offset` is that of its slash."""
    example = f"/{bits * 3 // 4}"
    if not (text.isascii() and text.isdigit()):
        what = f"prefix {_shown('/' + text)} is no number of bits"
        raise token.wrong(offset, what, example)
    if len(text) > 3 or int(text) > bits:
        what = f"prefix /{text[:40]} is longer than {bits}"
        raise token.wrong(offset, what, example)
    return int(text)


def _block(address: int, prefix: int, bits: int) -> Span:
    """All addresses with the same first `prefix` bits."""
    mask = (1 << (bits - prefix)) - 1
    return address & ~mask, address | mask


def _ends(token: Token, low: int, high: int) -> Span:
    if low > high:
        first, _, last = token.text.partition("-")
        what = f"range runs backwards: {first} is above {last}"
        raise token.wrong(0, what, f"{last}-{first}")
    return low, high


def _read_v4(token: Token, found: Found) -> None:
    """A token of digits, dots and pattern characters only."""
    text = token.text
    base, slash, prefix = text.partition("/")
    first, dash, last = base.partition("-")
    if dash and first.count(".") == 3 and "." in last:
        if slash:
            raise token.wrong(len(base), "a range takes no prefix", _EXAMPLE_V4)
        low, high = _v4_address(token, first, 0), _v4_address(token, last, len(first) + 1)
        found.v4.append(_ends(token, low, high))
    elif slash:
        pattern = re.search(r"[*,-]", base)
        if pattern:
            what = f"a pattern ({pattern[0]!r}) takes no prefix"
            raise token.wrong(pattern.start(), what, _EXAMPLE_V4)
        address = _v4_address(token, base, 0)
        found.v4.append(_block(address, _prefix(token, prefix, len(base), 32), 32))
    else:
        _add_pattern(tuple(_octet_runs(token, *part) for part in _four(token, text, 0)), found)


def _add_pattern(octets: Octets, found: Found) -> None:
    """As spans where they are few: a pattern that is really a prefix, a range or a short list."""
    spans: list[Span] = [(0, 0)]
    for runs in octets:
        if runs == ((0, 255),):
            spans = [(low << 8, high << 8 | 255) for low, high in spans]
        elif len(runs) * sum(high - low + 1 for low, high in spans) <= _MANY_SPANS:
            bases = [base for low, high in spans for base in range(low, high + 1)]
            spans = [(base << 8 | low, base << 8 | high) for base in bases for low, high in runs]
        else:
            found.patterns.append(octets)
            return
    found.v4.extend(spans)


def _read_v6(token: Token, found: Found) -> None:
    """A token with a colon."""
    text = token.text
    if "%" in text:
        what = "an IPv6 zone is not written in the target: choose the interface with --interface"
        raise token.wrong(text.index("%"), what, "fe80::1 --interface eth0")
    if "://" in text:
        what = "this is a URL, not a host"
        raise token.wrong(text.index("://"), what, _EXAMPLE_NAME)
    if _WITH_PORT.fullmatch(text):
        what = "a target has no port, ports are given with -p"
        raise token.wrong(text.rindex(":"), what, "10.0.0.1 -p 561")
    base, slash, prefix = text.partition("/")
    first, dash, last = base.partition("-")
    if not dash:
        address = _v6_address(token, base, 0)
        bits = _prefix(token, prefix, len(base), 128) if slash else 128
        found.v6.append(_block(address, bits, 128))
        return
    if slash:
        raise token.wrong(len(base), "a range takes no prefix", _EXAMPLE_V6)
    for part, offset in ((first, 0), (last, len(first) + 1)):
        if ":" not in part:
            what = f"this end of an IPv6 range, {_shown(part)}, is no IPv6 address"
            raise token.wrong(offset, what, _EXAMPLE_V6)
    low, high = _v6_address(token, first, 0), _v6_address(token, last, len(first) + 1)
    found.v6.append(_ends(token, low, high))


def _read_name(token: Token, found: Found, resolve: Resolver | None) -> None:
    name, slash, prefix = token.text.partition("/")
    wrong = _NAME_WRONG.search(name)
    if wrong:
        what = f"{wrong[0]!r} can be in no address and no host name"
        raise token.wrong(wrong.start(), what, _EXAMPLE_NAME)
    if not re.fullmatch(r"(?:[^.]{1,63}\.)*[^.]{1,63}\.?", name) or name[0] == "-":
        raise token.wrong(0, f"{_shown(name)} is no host name", _EXAMPLE_NAME)
    bits = _prefix(token, prefix, len(name), 32) if slash else 32
    if resolve is None:
        raise token.wrong(0, f"host name {_shown(name)} cannot be resolved here", _EXAMPLE_V4)
    try:
        addresses = resolve(name)
    except (OSError, UsageError) as error:
        what = f"host name {_shown(name)} cannot be resolved ({error})"
        raise token.wrong(0, what, _EXAMPLE_V4) from error
    usable = [address for address in addresses if address.version == 4 or not slash]
    if not usable:
        what = f"host name {_shown(name)} has no {'IPv4 ' if slash else ''}address"
        raise token.wrong(0, what, _EXAMPLE_V4)
    for address in usable:
        if isinstance(address, IPv4Address):
            found.v4.append(_block(int(address), bits, 32))
            found.names.setdefault(address, name)
        else:
            found.v6.append((int(address), int(address)))
            found.names.setdefault(IPv6Address(int(address)), name)  # without a zone


def read_token(token: Token, found: Found, resolve: Resolver | None) -> None:
    """Add what one token means. Raises `UsageError`, also when the name cannot be resolved."""
    text = token.text
    octets = text.split(".")
    if len(octets) == 4 and all(map(_OCTETS.__contains__, octets)):
        # Nearly every line of a long list is a plain address.
        a, b, c, d = map(_OCTETS.__getitem__, octets)
        address = a << 24 | b << 16 | c << 8 | d
        found.v4.append((address, address))
    elif not text:
        raise token.wrong(0, "a target is empty", _EXAMPLE_V4)
    elif _NUMERIC.fullmatch(text):
        _read_v4(token, found)
    elif ":" in text:
        _read_v6(token, found)
    else:
        _read_name(token, found, resolve)
