"""Measures rawscan beside its peers; `run` is the one entry."""
