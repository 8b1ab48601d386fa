"""Read JSON and YAML text as plain data, and report the place of every fault."""
