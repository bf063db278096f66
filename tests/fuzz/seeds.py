"""Where the fuzzer starts: payloads made by the test factories, and those of the corpus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palomar_bpf.payload import MessageType
from palomar_proto.monitor.payload import LOST, OPENING, SAMPLE, Payload, encode
from tests.fuzz.samples import payloads
from tests.fuzz.targets import RARE, pack

if TYPE_CHECKING:
    from collections.abc import Iterator

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "conformance"


def _cases(corpus: Path | None, file: str) -> list[dict[str, Any]]:
    """The cases of a file; none where there is no corpus."""
    if corpus is None or not (corpus / file).exists():
        return []
    with (corpus / file).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def corpus_payloads(corpus: Path | None) -> list[bytes]:
    """Those of decode.jsonl."""
    return [
        bytes.fromhex(step["data"])
        for case in _cases(corpus, "decode.jsonl")
        for step in case.get("steps", [case])
        if "data" in step
    ]


def corpus_streams(corpus: Path | None) -> list[bytes]:
    """Those of monitor_socket.jsonl."""
    return [bytes.fromhex(case["stream"]) for case in _cases(corpus, "monitor_socket.jsonl")]


def seeds(target: str, corpus: Path | None = CORPUS) -> Iterator[bytes]:
    """Inputs for a target.

    Args:
        target: one of `targets.TARGETS`.
        corpus: the conformance corpus; nothing is taken from it if it is None or not there.
    """
    known = [*payloads(), *corpus_payloads(corpus)]
    if target == "batch":
        yield from (bytes((at % 256,)) + pack([one]) for at, one in enumerate(known))
        yield b"\x00" + pack(payloads()[-8:])
    elif target == "rare":
        some = [one for one in known if one and one[0] in RARE]
        yield from (bytes((RARE.index(one[0]),)) + one[1:] for one in some)
    elif target == "gob":
        with_gob = (MessageType.ACCESS_LOG, MessageType.AGENT)
        yield from (one[1:] for one in known if one and one[0] in with_gob)
    else:
        samples = [Payload(one, cpu, 0, SAMPLE) for cpu, one in enumerate(payloads()[:4])]
        opened = OPENING + b"".join(map(encode, [*samples, Payload(b"", 1, 300, LOST)]))
        yield from (b"\x07" + one for one in (opened, *corpus_streams(corpus)))
