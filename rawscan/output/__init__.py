"""One format a file: records for other programs, tables for people."""
