"""Exact sets of IP addresses as integers that never write a large set out. Touches nothing.

Two representations, because the two families are asked for in two ways. IPv4 specs may be octet
patterns (`*.*.*.1` is 16 million lone addresses), so `Ipv4Set` is a shared trie by bytes in which
that pattern is four nodes. IPv6 specs are addresses, prefixes and ranges only, so `Ipv6Set` is a
sorted list of spans: a trie of 16 levels would spend kilobytes on each random interface identifier.

Both are canonical: equal sets have equal structure.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2s
from itertools import accumulate
from weakref import WeakValueDictionary

Span = tuple[int, int]
"""First and last member, both included."""

Octets = tuple[tuple[Span, ...], ...]
"""An IPv4 octet pattern: for each of the four octets its runs, sorted, apart from each other."""

_WHOLE_OCTET: tuple[Span, ...] = ((0, 255),)


def merge_spans(spans: Iterable[Span]) -> list[Span]:
    """Sort spans and join those that overlap or touch."""
    merged: list[Span] = []
    last_low, last_high = 0, -2
    for low, high in sorted(spans):
        if low <= last_high + 1:
            if high > last_high:
                last_high = high
                merged[-1] = (last_low, high)
        else:
            last_low, last_high = low, high
            merged.append((low, high))
    return merged


class Node:
    """One byte of an address: which of its values occur, and what may follow each.

    `height` is how many bytes are left, this one included. A run is (first, last, child) and its
    child None when everything below belongs to the set. `starts` holds, for each run, how many
    addresses come before it. Nodes are made by `_make` only, which gives equal nodes one identity.
    """

    __slots__ = ("__weakref__", "count", "height", "runs", "starts")

    def __init__(self, height: int, runs: tuple[Run, ...]) -> None:
        """For `_intern` only."""
        sizes = [
            (high - low + 1) * (child.count if child is not None else 1 << 8 * (height - 1))
            for low, high, child in runs
        ]
        self.height = height
        self.runs = runs
        self.starts = (0, *accumulate(sizes))
        self.count: int = self.starts[-1]

    def __reduce__(self) -> tuple[Callable[..., Node], tuple[int, tuple[Run, ...]]]:
        """Pickle and copy by way of `_intern`, so that equal nodes stay one."""
        return _intern, (self.height, self.runs)


Run = tuple[int, int, Node | None]
Tree = Node | None
"""A node, or None for "everything below"."""

_EMPTY = Node(0, ())
_INTERNED: WeakValueDictionary[tuple[int, tuple[Run, ...]], Node] = WeakValueDictionary()


def _intern(height: int, runs: tuple[Run, ...]) -> Node:
    """The one node with these runs. Two threads may make it twice, which costs sharing only."""
    if not runs:
        return _EMPTY
    node = _INTERNED.get((height, runs))
    if node is None:
        node = _INTERNED[height, runs] = Node(height, runs)
    return node


def _make(height: int, runs: Iterable[Run]) -> Tree:
    """The canonical node: nothing empty, like neighbours joined, a full node told as None."""
    merged: list[Run] = []
    for low, high, child in runs:
        if child is _EMPTY:
            continue
        if merged and merged[-1][1] + 1 == low and merged[-1][2] is child:
            merged[-1] = (merged[-1][0], high, child)
        else:
            merged.append((low, high, child))
    if len(merged) == 1 and merged[0] == (0, 255, None):
        return None
    return _intern(height, tuple(merged))


def _build(height: int, spans: Iterable[Span], leaves: dict[tuple[Span, ...], Tree]) -> Tree:
    """The tree of sorted, merged spans, counted from the start of this node's own space.

    `leaves` remembers last octets: a long list has millions of them, most of them alike.
    """
    if height == 1:
        key = tuple(spans)
        if key not in leaves:
            leaves[key] = _make(1, [(low, high, None) for low, high in key])
        return leaves[key]
    shift = 8 * (height - 1)
    mask = (1 << shift) - 1
    runs: list[Run] = []
    partial: dict[int, list[Span]] = {}
    for low, high in spans:
        first, last, head, tail = low >> shift, high >> shift, low & mask, high & mask
        if head and first == last:
            partial.setdefault(first, []).append((head, tail))
            continue
        if head:
            partial.setdefault(first, []).append((head, mask))
            first += 1
        if tail != mask:
            partial.setdefault(last, []).append((0, tail))
            last -= 1
        if first <= last:
            runs.append((first, last, None))
    runs += [(byte, byte, _build(height - 1, below, leaves)) for byte, below in partial.items()]
    runs.sort(key=lambda run: run[0])
    return _make(height, runs)


def _side_by_side(a: Tree, b: Tree) -> Iterator[tuple[int, int, Tree, Tree]]:
    """Cut the byte's 256 values where either node changes: (first, last, child of a, of b)."""
    a_runs: Sequence[Run] = a.runs if a is not None else ((0, 255, None),)
    b_runs: Sequence[Run] = b.runs if b is not None else ((0, 255, None),)
    low = a_next = b_next = 0
    while low < 256:
        a_end, a_child, a_next = _at_byte(a_runs, a_next, low)
        b_end, b_child, b_next = _at_byte(b_runs, b_next, low)
        high = min(a_end, b_end)
        yield low, high, a_child, b_child
        low = high + 1


def _at_byte(runs: Sequence[Run], index: int, byte: int) -> tuple[int, Tree, int]:
    """What holds from `byte` on: until where, which child, and the index to ask with next."""
    while index < len(runs) and runs[index][1] < byte:
        index += 1
    if index == len(runs):
        return 255, _EMPTY, index
    low, high, child = runs[index]
    return (high, child, index) if low <= byte else (low - 1, _EMPTY, index)


_Memo = dict[tuple[Tree, Tree], Tree]


def _union(a: Tree, b: Tree, height: int, memo: _Memo) -> Tree:
    if a is None or b is None:
        return None
    if a is b or b is _EMPTY:
        return a
    if a is _EMPTY:
        return b
    if (a, b) not in memo:
        memo[a, b] = _make(
            height,
            [(lo, hi, _union(x, y, height - 1, memo)) for lo, hi, x, y in _side_by_side(a, b)],
        )
    return memo[a, b]


def _difference(a: Tree, b: Tree, height: int, memo: _Memo) -> Tree:
    if b is None or a is b or a is _EMPTY:
        return _EMPTY
    if b is _EMPTY:
        return a
    # A full `a` is None at every height, but `b` has one height only: the pair is a safe key.
    if (a, b) not in memo:
        memo[a, b] = _make(
            height,
            [(lo, hi, _difference(x, y, height - 1, memo)) for lo, hi, x, y in _side_by_side(a, b)],
        )
    return memo[a, b]


def _blocks(tree: Tree, height: int, base: int) -> Iterator[Span]:
    """Spans in ascending order; neighbours may touch."""
    if tree is None:
        yield base, base + (1 << 8 * height) - 1
        return
    shift = 8 * (height - 1)
    for low, high, child in tree.runs:
        if child is None:
            yield base + (low << shift), base + ((high + 1) << shift) - 1
            continue
        for byte in range(low, high + 1):
            yield from _blocks(child, height - 1, base + (byte << shift))


def _patterns(tree: Tree, height: int) -> Iterator[Octets]:
    """Octet patterns that cover the tree once; values with the same child share a pattern."""
    if tree is None:
        yield (_WHOLE_OCTET,) * height
        return
    groups: dict[Tree, list[Span]] = {}
    for low, high, child in tree.runs:
        groups.setdefault(child, []).append((low, high))
    for child, runs in groups.items():
        for rest in _patterns(child, height - 1):
            yield (tuple(runs), *rest)


def _digest(tree: Tree, memo: dict[Tree, bytes]) -> bytes:
    """32 bytes for what lies below; each shared node is hashed once."""
    if tree not in memo:
        runs = tree.runs if tree is not None else ()
        below = (bytes((low, high)) + _digest(child, memo) for low, high, child in runs)
        memo[tree] = blake2s(b"".join(below), person=b"all" if tree is None else b"").digest()
    return memo[tree]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Ipv4Set:
    """An immutable set of IPv4 addresses; members are integers, in ascending order."""

    root: Tree = _EMPTY

    @classmethod
    def of(cls, spans: Iterable[Span]) -> Ipv4Set:
        """From spans in any order; a million of them take about two seconds."""
        return cls(_build(4, merge_spans(spans), {}))

    @classmethod
    def of_pattern(cls, octets: Octets) -> Ipv4Set:
        """From an octet pattern, in at most four nodes."""
        tree: Tree = None
        for height, runs in enumerate(reversed(octets), 1):
            tree = _make(height, [(low, high, tree) for low, high in runs])
        return cls(tree)

    @property
    def count(self) -> int:
        """How many addresses."""
        return 1 << 32 if self.root is None else self.root.count

    def at(self, index: int) -> int:
        """Member number `index`, from 0, in at most four steps. IndexError beyond the ends."""
        if not 0 <= index < self.count:
            raise IndexError(index)
        tree, height, base = self.root, 4, 0
        while tree is not None:
            place = bisect_right(tree.starts, index) - 1
            low, _, child = tree.runs[place]
            each = child.count if child is not None else 1 << 8 * (height - 1)
            byte, index = divmod(index - tree.starts[place], each)
            base = base << 8 | low + byte
            tree, height = child, height - 1
        return (base << 8 * height) + index

    def index(self, address: int) -> int:
        """Which member the address is: the inverse of `at`. -1 if it is none."""
        tree, shift, before = self.root, 24, 0
        while tree is not None:
            byte = address >> shift & 255
            place = bisect_right(tree.runs, byte, key=lambda run: run[0]) - 1
            if place < 0 or tree.runs[place][1] < byte:
                return -1
            low, _, child = tree.runs[place]
            each = child.count if child is not None else 1 << shift
            before += tree.starts[place] + (byte - low) * each
            tree, shift = child, shift - 8
        return before + (address & (1 << shift + 8) - 1)

    def __contains__(self, address: int) -> bool:
        """Whether the address, as an integer, is a member."""
        return self.index(address) >= 0

    def spans(self) -> Iterator[Span]:
        """The longest spans, ascending, made as they are asked for."""
        held: Span | None = None
        for low, high in _blocks(self.root, 4, 0):
            if held is not None and held[1] + 1 == low:
                held = (held[0], high)
                continue
            if held is not None:
                yield held
            held = (low, high)
        if held is not None:
            yield held

    def patterns(self) -> Iterator[Octets]:
        """Octet patterns that cover each address exactly once, made as they are asked for."""
        return _patterns(self.root, 4)

    def union(self, other: Ipv4Set) -> Ipv4Set:
        """Addresses in either."""
        return Ipv4Set(_union(self.root, other.root, 4, {}))

    def difference(self, other: Ipv4Set) -> Ipv4Set:
        """Addresses in this and not in the other."""
        return Ipv4Set(_difference(self.root, other.root, 4, {}))

    @property
    def digest(self) -> bytes:
        """32 bytes, equal for equal sets, in every process."""
        return _digest(self.root, {})

    def __eq__(self, other: object) -> bool:
        """Same members: as a rule the same node, and exact where threads made it twice."""
        if not isinstance(other, Ipv4Set):
            return NotImplemented
        if self.root is other.root:
            return True
        return self.count == other.count and not self.difference(other).count

    def __hash__(self) -> int:
        """From the members, never from a node's identity."""
        return hash((self.count, self.at(0), self.at(self.count - 1)) if self.count else 0)


@dataclass(frozen=True, slots=True, repr=False)
class Ipv6Set:
    """An immutable set of IPv6 addresses; members are integers, in ascending order.

    `members` must be sorted and merged: use `of`, unless they are.
    """

    members: tuple[Span, ...] = ()
    starts: tuple[int, ...] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Count once."""
        sizes = (high - low + 1 for low, high in self.members)
        object.__setattr__(self, "starts", (0, *accumulate(sizes)))

    @classmethod
    def of(cls, spans: Iterable[Span]) -> Ipv6Set:
        """From spans in any order."""
        return cls(tuple(merge_spans(spans)))

    @property
    def count(self) -> int:
        """How many addresses."""
        return self.starts[-1]

    def at(self, index: int) -> int:
        """Member number `index`, from 0, by bisection. IndexError beyond the ends."""
        if not 0 <= index < self.count:
            raise IndexError(index)
        place = bisect_right(self.starts, index) - 1
        return self.members[place][0] + index - self.starts[place]

    def index(self, address: int) -> int:
        """Which member the address is: the inverse of `at`. -1 if it is none."""
        place = bisect_right(self.members, address, key=lambda span: span[0]) - 1
        if place < 0 or address > self.members[place][1]:
            return -1
        return self.starts[place] + address - self.members[place][0]

    def __contains__(self, address: int) -> bool:
        """Whether the address, as an integer, is a member."""
        return self.index(address) >= 0

    def spans(self) -> Iterator[Span]:
        """The longest spans, ascending."""
        return iter(self.members)

    @property
    def digest(self) -> bytes:
        """32 bytes, equal for equal sets, in every process."""
        return blake2s(
            "".join(f"{low:x}-{high:x}\n" for low, high in self.members).encode()
        ).digest()

    def union(self, other: Ipv6Set) -> Ipv6Set:
        """Addresses in either."""
        return Ipv6Set.of(self.members + other.members)

    def difference(self, other: Ipv6Set) -> Ipv6Set:
        """Addresses in this and not in the other."""
        left: list[Span] = []
        cuts, start = other.members, 0
        for first, last in self.members:
            low = first
            while start < len(cuts) and cuts[start][1] < low:
                start += 1
            index = start
            while index < len(cuts) and cuts[index][0] <= last:
                if cuts[index][0] > low:
                    left.append((low, cuts[index][0] - 1))
                low = cuts[index][1] + 1
                index += 1
            if low <= last:
                left.append((low, last))
        return Ipv6Set(tuple(left))
