"""Package `observer`: reading flows and events."""
