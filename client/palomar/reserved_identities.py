"""Names of the security identities that every cluster has.

The numbers are Cilium's; below 256 they are reserved. Read by the values of `--identity` and by the
printers.
"""

RESERVED_IDENTITIES = {
    "host": 1,
    "world": 2,
    "unmanaged": 3,
    "health": 4,
    "init": 5,
    "remote-node": 6,
    "kube-apiserver": 7,
    "ingress": 8,
    "world-ipv4": 9,
    "world-ipv6": 10,
}
"""Numbers by name, in the order of the numbers."""
