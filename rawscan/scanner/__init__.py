"""A live scan: joins port space, engine, token, template, link and rules.

    ordinals -> ports -> token -> template -> frames -> [link] -> frames -> replies -> proof
             -> arrivals -> engine -> decided -> RULES -> verdicts

All of it goes in batches, as arrays. `transmit` is the way out, `listen` the way back, `loop` turns
the wheel and owns the clock, `request` is what a user asks for, `admission` whom a scan leaves
alone, `plan` what it would do.
"""

from rawscan.scanner.listen import recordable
from rawscan.scanner.loop import Counters, Scan
from rawscan.scanner.request import LINKS, Request, make_token, open_scan, scan

__all__ = ["LINKS", "Counters", "Request", "Scan", "make_token", "open_scan", "recordable", "scan"]
