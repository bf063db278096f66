"""Cilium's monitor as a wire format: the socket's stream, the notices and message heads in it.

- `payload`: the gob stream of the monitor socket, protocol 1.2, both ways.
- `agent_notice`: notices of the agent itself, both ways.
- `head`: what the first bytes of each message say.
"""
