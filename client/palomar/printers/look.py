"""What a user may choose about the human formats. Taken by every printer."""

from dataclasses import dataclass

from palomar.printers.color import PLAIN, Palette
from palomar.printers.time_format import TIME_FORMATS


@dataclass(frozen=True, slots=True)
class Look:
    """What a user may choose about the human formats.

    Attributes:
        time_format: One of `TIME_FORMATS`.
        node_name: Whether to name the node that saw the flow.
        translate: Whether to show names (pod, service, DNS) instead of addresses.
        palette: The colours.
        policy_names: Whether a policy verdict names the policies that decided it.
        strict: Whether to print, and to ask the server for, exactly what the `hubble` command
            does, where it errs too. What would be unsafe on a terminal stays safe.
    """

    time_format: str = TIME_FORMATS[0]
    node_name: bool = False
    translate: bool = True
    palette: Palette = PLAIN
    policy_names: bool = False
    strict: bool = False
