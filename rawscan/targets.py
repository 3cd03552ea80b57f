"""The set of addresses to scan: exact set algebra over what the user wrote. Touches nothing.

The grammar of one target is in `rawscan.targetspec`, the sets of integers below are in
`rawscan.addrset`. Nothing here writes a large set out: `0.0.0.0/0` and `*.*.*.1` cost no more than
one address, and a list of a million addresses takes a few seconds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from itertools import zip_longest

from rawscan.addrset import Ipv4Set, Ipv6Set, Octets, Span
from rawscan.model import IPAddress
from rawscan.targetspec import Found, Resolver, Token, read_token, split_exclude, split_tokens

__all__ = ["Resolver", "TargetSet", "Token", "split_exclude", "split_tokens"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TargetSet:
    """An immutable set of IP addresses, in order: IPv4 ascending, then IPv6 ascending.

    Equal sets compare equal however they were written; `names` does not take part in that.
    `names` maps an address to the host name that the user wrote for it, and is empty for what was
    written as numbers. Do not change it.
    """

    _v4: Ipv4Set = field(default_factory=Ipv4Set)
    _v6: Ipv6Set = field(default_factory=Ipv6Set)
    names: Mapping[IPAddress, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, tokens: Iterable[str | Token], resolve: Resolver | None = None) -> TargetSet:
        """The union of all tokens. A plain string is called "argument N" in errors, N from 1.

        Without `resolve` a host name is an error. Raises `UsageError`.
        """
        found = Found()
        for number, token in enumerate(tokens, 1):
            if isinstance(token, str):
                token = Token(token, f"argument {number}")  # noqa: PLW2901
            read_token(token, found, resolve)
        sets = [Ipv4Set.of_pattern(each) for each in sorted(set(found.patterns))]
        sets.append(Ipv4Set.of(found.v4))
        # Neighbours by pairs: one after the other would cost the square of their number.
        while len(sets) > 1:
            sets = [a.union(b) for a, b in zip_longest(sets[::2], sets[1::2], fillvalue=Ipv4Set())]
        return cls(sets[0], Ipv6Set.of(found.v6), found.names)

    def union(self, other: TargetSet) -> TargetSet:
        """Addresses in either. Where both name an address, the name in this one stays."""
        names = {**other.names, **self.names}
        return TargetSet(self._v4.union(other._v4), self._v6.union(other._v6), names)

    def difference(self, other: TargetSet) -> TargetSet:
        """Addresses in this and not in the other."""
        v4, v6 = self._v4.difference(other._v4), self._v6.difference(other._v6)
        names = {address: name for address, name in self.names.items() if address not in other}
        return TargetSet(v4, v6, names)

    __or__ = union
    __sub__ = difference

    @property
    def v4(self) -> TargetSet:
        """The IPv4 addresses alone."""
        return TargetSet(self._v4, Ipv6Set(), self._names_of(4))

    @property
    def v6(self) -> TargetSet:
        """The IPv6 addresses alone."""
        return TargetSet(Ipv4Set(), self._v6, self._names_of(6))

    def _names_of(self, version: int) -> dict[IPAddress, str]:
        return {each: name for each, name in self.names.items() if each.version == version}

    @property
    def count(self) -> int:
        """How many addresses, exactly; may be far above what `len` can say."""
        return self._v4.count + self._v6.count

    def at(self, index: int) -> IPAddress:
        """Address number `index`, from 0, without going through the others.

        Raises IndexError below 0 and from `count` on.
        """
        if index < self._v4.count:
            return IPv4Address(self._v4.at(index))
        return IPv6Address(self._v6.at(index - self._v4.count))

    def index(self, address: IPAddress) -> int:
        """Which number `address` has: the inverse of `at`. -1 if it is no member."""
        if address.version == 4:
            return self._v4.index(int(address))
        index = self._v6.index(int(address))
        return index if index < 0 else self._v4.count + index

    def within(self, version: int, spans: Iterable[Span]) -> TargetSet:
        """Those of one IP version that lie in any of the spans, without names."""
        if version == 4:
            return TargetSet(self._v4.difference(self._v4.difference(Ipv4Set.of(spans))))
        outside = self._v6.difference(Ipv6Set.of(spans))
        return TargetSet(Ipv4Set(), self._v6.difference(outside))

    def first_from(self, version: int, address: int) -> int | None:
        """The least member of one IP version that is not below `address`; both as integers."""
        if version == 4:
            rest = self._v4.difference(Ipv4Set.of([(0, address - 1)])) if address else self._v4
            return rest.at(0) if rest.count else None
        members = self._v6.members
        place = bisect_left(members, address, key=lambda span: span[1])
        return max(address, members[place][0]) if place < len(members) else None

    def spans(self, version: int) -> Iterator[tuple[int, int]]:
        """First and last address, as integers, of the longest runs of one IP version."""
        return self._v4.spans() if version == 4 else self._v6.spans()

    @property
    def digest(self) -> bytes:
        """64 bytes, equal for equal sets however they were written, in every process."""
        return self._v4.digest + self._v6.digest

    def specs(self) -> Iterator[str]:
        """A short text form: targets that, parsed, give the same set.

        As addresses, prefixes and ranges or, where those are more, as octet patterns. A pattern
        may contain commas, so join them by white space.
        """
        spans, patterns = self._v4.spans(), self._v4.patterns()
        as_spans: list[str] = []
        as_patterns: list[str] = []
        # Side by side, and the form that ends first wins: the other may have millions.
        for span, pattern in zip_longest(spans, patterns):
            if span is None:
                yield from as_spans
                break
            if pattern is None:
                yield from as_patterns
                break
            as_spans.append(_span_text(span, 32))
            as_patterns.append(_pattern_text(pattern))
        else:
            yield from as_spans
        for span in self._v6.spans():
            yield _span_text(span, 128)

    def __iter__(self) -> Iterator[IPAddress]:
        """All addresses in order, made as they are asked for."""
        for low, high in self._v4.spans():
            yield from map(IPv4Address, range(low, high + 1))
        for low, high in self._v6.spans():
            yield from map(IPv6Address, range(low, high + 1))

    def __contains__(self, address: object) -> bool:
        """Whether an address object is a member; False for anything else."""
        if isinstance(address, IPv4Address):
            return int(address) in self._v4
        return isinstance(address, IPv6Address) and int(address) in self._v6

    def __bool__(self) -> bool:
        """Whether there is any address."""
        return self.count > 0

    def __len__(self) -> int:
        """`count`, where it fits; OverflowError from 2**63 on."""
        return self.count

    def __eq__(self, other: object) -> bool:
        """Same addresses."""
        if not isinstance(other, TargetSet):
            return NotImplemented
        return self._v4 == other._v4 and self._v6 == other._v6

    def __hash__(self) -> int:
        """Equal sets have equal hashes."""
        return hash((self._v4, self._v6))

    def __repr__(self) -> str:
        """How many; the members may be too many to write."""
        return f"<TargetSet of {self._v4.count} IPv4 and {self._v6.count} IPv6 addresses>"


def _span_text(span: Span, bits: int) -> str:
    """An address, a prefix, a range in the last octet, or a range between two addresses."""
    low, high = span
    make = IPv4Address if bits == 32 else IPv6Address
    size = high - low + 1
    if size == 1:
        return str(make(low))
    if size & (size - 1) == 0 and low % size == 0:
        return f"{make(low)}/{bits - size.bit_length() + 1}"
    if bits == 32 and low >> 8 == high >> 8:
        return f"{make(low)}-{high & 255}"
    return f"{make(low)}-{make(high)}"


def _pattern_text(pattern: Octets) -> str:
    return ".".join(
        "*"
        if runs == ((0, 255),)
        else ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)
        for runs in pattern
    )
