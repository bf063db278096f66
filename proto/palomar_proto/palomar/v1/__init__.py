"""Package `palomar.v1`."""
