"""What every output is: something that takes records. Touches nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from rawscan.output.records import Record, port_record

if TYPE_CHECKING:
    from rawscan.verdicts import Verdicts


class Sink(Protocol):
    """Takes records, in the order in which they become known."""

    def write(self, record: Record) -> None:
        """Take one record."""
        ...

    def write_ports(self, batch: Verdicts) -> None:
        """Take many verdicts, which are as good as their `port` records."""
        for verdict in batch:
            self.write(port_record(verdict))

    def close(self) -> None:
        """Write what is still to be written."""
        ...
