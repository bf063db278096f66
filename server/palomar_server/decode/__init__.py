"""Decoding monitor payloads by columns: heads, then packets, a whole batch at a time."""
