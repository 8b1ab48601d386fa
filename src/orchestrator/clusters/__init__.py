"""Steps on other machines: attempts that are dispatched to an engine or to pull workers, and what becomes of them."""
