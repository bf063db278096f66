"""The commands of the `palomar` tool, one module each; `cli` gathers them.

A module here must import quickly: what needs gRPC or protobuf is imported when a command runs, so
that `--help` and completion do not wait for it.
"""
