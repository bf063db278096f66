"""Package `flow`: flows, their filter, and the events that are not flows."""
