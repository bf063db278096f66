r"""Makes text of remote origin safe to show: no byte of it can steer the terminal.

A pod name, DNS query or error text comes from somebody else's machine. Sent to a terminal as it
is, ESC starts a command, CR overwrites the line and a line end forges a second one. In: any text.
Out: the same with control characters written out, ESC as `^[` and CR as `\r` as in Hubble, so that
they can be seen. Used wherever such text meets a human format; JSON has escapes of its own.
"""

# Overrides of the writing direction (Unicode Bidi_Control) show a line in another order than it
# has, which forges just as well.
_DIRECTION = (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x061C, 0x200E, 0x200F)
_CONTROL = (*range(0x20), *range(0x7F, 0xA0))
_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\x1b": "^["}

_VISIBLE = {code: f"\\x{code:02x}" for code in _CONTROL}
_VISIBLE.update({code: f"\\u{code:04x}" for code in _DIRECTION})
_VISIBLE.update(str.maketrans(_SHORT))


def visible(text: str) -> str:
    """Write out control characters and direction overrides; leave everything else as it is."""
    # Nearly all text takes the first branch, a scan in C without a copy.
    return text if text.isprintable() else text.translate(_VISIBLE)
