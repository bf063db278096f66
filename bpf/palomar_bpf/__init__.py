"""The kernel side: eBPF programs, their loading and attachment, and the perf reader.

Out of here come batches of raw payloads and loss counts; nothing here knows flows, gRPC or asyncio.
"""
