"""The bundled recording: what `make demo` saw once, for machines without eBPF."""

from pathlib import Path

DEMO = Path(__file__).with_name("demo.events")
"""Two pods, a TCP connection, a ping, a refused port and an nftables drop (`make sample`)."""
