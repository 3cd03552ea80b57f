"""`python -m rawscan` is the same as `rawscan`."""

from rawscan.cli import main

main()
