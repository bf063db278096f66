"""Explain: why a packet was dropped, or a connection is stuck, told from what the ring holds."""
