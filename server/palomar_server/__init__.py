"""The daemon palomard: payload batches in, columns of flows in a ring, gRPC streams out."""

from importlib.metadata import version

__version__ = version("palomar")
