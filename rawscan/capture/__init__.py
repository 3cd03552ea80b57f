"""Capture files: pcap and pcapng in, pcapng out, and what Wireshark says of a frame."""
