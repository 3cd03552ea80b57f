"""Bytes to records and back: craft, token, link layer, decode. No input or output of its own."""
