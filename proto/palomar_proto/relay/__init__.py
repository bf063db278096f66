"""Package `relay`: node status inside a flow stream."""
