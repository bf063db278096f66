"""The catalogue of recordings: who recorded what, when, and what became of it, in a database."""
