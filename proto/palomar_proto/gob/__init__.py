"""Go's encoding/gob in plain Python: what Cilium's monitor speaks.

`decode_value` and `StreamDecoder` read whatever a gob describes; `Encoder` writes values of given
types.
"""

from palomar_proto.gob.decoder import StreamDecoder, StreamError, decode_value
from palomar_proto.gob.encoder import Encoder
from palomar_proto.gob.types import (
    Array,
    Basic,
    Map,
    Marshaler,
    Opaque,
    Slice,
    Struct,
    Type,
)
from palomar_proto.gob.values import Concrete
from palomar_proto.gob.wire import GobError

__all__ = [
    "Array",
    "Basic",
    "Concrete",
    "Encoder",
    "GobError",
    "Map",
    "Marshaler",
    "Opaque",
    "Slice",
    "StreamDecoder",
    "StreamError",
    "Struct",
    "Type",
    "decode_value",
]
