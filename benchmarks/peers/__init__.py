"""What people would use instead, measured on the same graph and, where it can use it, the same Postgres."""
