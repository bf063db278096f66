"""Package `peer`: the list of nodes."""
