"""Packets into capture files: encoding, sinks, stop conditions, counts, files and their limits."""
