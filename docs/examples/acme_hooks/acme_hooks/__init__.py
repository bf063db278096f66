"""Hooks for palomard: drops by pod, and no health checks."""
