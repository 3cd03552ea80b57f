"""A network of real kernels on one machine, for tests, demo and lessons. Never the host's own.

`plan` says what is in it and what a scan must find; `build.Lab` makes it from namespaces.
"""
