"""How the database came to its newest schema, step by step; alembic runs them."""
