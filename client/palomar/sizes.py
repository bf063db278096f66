"""Numbers with units as people write them in: `10k`, `1M`, `1.5GiB`; whole numbers out.

k, M, G and T are powers of 1,000, Ki, Mi, Gi and Ti of 1,024, in any case and with or without a B
behind, as Kubernetes has them. Used by flags that take a size or a count.
"""

import re
from typing import Final

_STEPS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SIZE = re.compile(r"(\d{1,20})(?:\.(\d{1,9}))?\s?([kmgt]?)(i?)(b?)", re.ASCII | re.IGNORECASE)

# Between thousands alone: to some 1,5M is one and a half, and to nobody fifteen.
_SEPARATOR = re.compile(r"(?<=[0-9])[_,](?=[0-9]{3}(?![0-9]))")


def parse_size(text: str) -> int | None:
    """Read a number; `None` where the text is none, or no whole one."""
    match = _SIZE.fullmatch(_SEPARATOR.sub("", text.strip()))
    if match is None or (match[4] and not match[3]):
        return None
    unit = (1024 if match[4] else 1000) ** _STEPS[match[3].lower()]
    fraction = match[2] or ""
    part, rest = divmod(int(fraction or 0) * unit, 10 ** len(fraction))
    # Half a KiB is 512 bytes; a third of one is a mistake, or not worth the digits.
    return None if rest and unit == 1 else int(match[1]) * unit + part
