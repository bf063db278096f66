"""A server's failure in Hubble's words, for `--strict-hubble`.

In: an error of `palomar.errors`. Out: one that reads as `hubble` prints the gRPC status behind it,
since scripts look for `code = Unavailable` in it. Used by the commands that ask a server.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from palomar.errors import PalomarError, ServerError


@contextmanager
def hubble_wording(*, strict: bool) -> Iterator[None]:
    """Reword what the block raises because of a gRPC status; anything else passes as it is.

    Args:
        strict: Whether to reword at all.

    Raises:
        ServerError: With the text that `hubble` prints.
    """
    try:
        yield
    except PalomarError as error:
        if not strict or not error.status:
            raise
        reworded = ServerError(hubble_text(error.status, error.details))
        reworded.status, reworded.details = error.status, error.details
        raise reworded from error


def hubble_text(status: str, details: str) -> str:
    """Write a gRPC status as Go's gRPC does.

    Args:
        status: Its name, such as `DEADLINE_EXCEEDED`.
        details: The text that came with it.
    """
    if status == "UNKNOWN":
        # What a server did not sort is most often the text of an error, and shown alone.
        return details
    # Go writes the names in camel case, and this one with a single L.
    name = "".join(word.capitalize() for word in status.split("_"))
    return f"rpc error: code = {name.replace('Cancelled', 'Canceled')} desc = {details}"
