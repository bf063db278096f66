"""What the catalogue raises."""

from __future__ import annotations


class CatalogueError(Exception):
    """The database cannot be used; the text says which, why and what to do, with no password."""
