"""Makes this case: scans the lab and writes what its plan expects. Run it from anywhere."""

from pathlib import Path

from rawscan.lab.recording import record

if __name__ == "__main__":
    record("syn-proxy", Path(__file__).parent)
