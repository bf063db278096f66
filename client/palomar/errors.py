"""What can go wrong between a client and a server, sorted by what the caller does next.

    PalomarError
    ├── ServerUnavailable   nobody answered: start or find the server, then try again
    ├── InvalidRequest      the question is wrong: change it (also a ValueError)
    ├── Unauthorized        the server does not let you: bring a token it knows
    ├── Unsupported         this server cannot do that: ask another one, or for something else
    └── ServerError         the server failed while answering: its log says why

Every message is one line that says what was wrong, with which value, and what to do about it.
gRPC statuses become these classes in `from_status` and nowhere else. Raised by `Client`,
`AsyncClient` and `Filter`; printed by the command line tool.
"""


class PalomarError(Exception):
    """Base of everything this library raises on purpose.

    Attributes:
        status: Name of the gRPC status behind it, such as `UNAVAILABLE`; empty without one.
        details: The text that came with the status, as it came: it may be of several lines, and
            have control characters in it.
    """

    status: str = ""
    details: str = ""


class ServerUnavailable(PalomarError):  # noqa: N818 - named by its cause
    """Nobody answered at the target, or not in time."""


class InvalidRequest(PalomarError, ValueError):  # noqa: N818 - likewise
    """A filter, time, target or combination of them that means nothing."""


class Unsupported(PalomarError):  # noqa: N818 - likewise
    """The server does not offer this call, or not what was asked of it."""


class Unauthorized(PalomarError):  # noqa: N818 - likewise
    """The server wants to know who asks, or does not let them."""


class ServerError(PalomarError):
    """The server, or something between it and us, failed while answering."""


# The request cannot succeed as it stands, whoever is asked and however often.
_INVALID = frozenset({"INVALID_ARGUMENT", "OUT_OF_RANGE", "FAILED_PRECONDITION", "NOT_FOUND"})


def from_status(code: str, details: str, target: str, instead: str = "") -> PalomarError:
    """Turn the gRPC status that `target` answered with into an error of this module.

    Args:
        code: Name of the status, such as `UNAVAILABLE`.
        details: The server's own text; may be empty.
        target: The server as the user wrote it, for the message.
        instead: What to do where the server lacks the method, for the message.
    """
    error = _sorted(code, " ".join(details.split()) or code, target, instead)
    error.status, error.details = code, details
    return error


def _sorted(code: str, text: str, target: str, instead: str) -> PalomarError:
    if code == "UNAVAILABLE":
        return ServerUnavailable(f"{target} is unavailable: {text}; try again")
    if code == "DEADLINE_EXCEEDED":
        return ServerUnavailable(f"{target} did not answer in time ({text}); try again")
    if code == "UNIMPLEMENTED":
        advice = f"; {instead}" if instead else ""
        return Unsupported(f"{target} cannot do this: {text}{advice}")
    if code in {"UNAUTHENTICATED", "PERMISSION_DENIED"}:
        return Unauthorized(f"{target} refused access: {text}; check the token or the password")
    if code in _INVALID:
        return InvalidRequest(f"{target} refused the request: {text}")
    return ServerError(f"{target} failed to answer: {text} ({code})")


def unreachable(target: str, reason: str) -> ServerUnavailable:
    """Say that no connection to `target` came about, and what to try.

    Args:
        target: The server as the user wrote it.
        reason: Why, as far as this machine can tell.
    """
    return ServerUnavailable(
        f"cannot reach {target}: {reason}; is palomard running? Start it, or name another "
        "server (--server or PALOMAR_SERVER)"
    )
