"""What is written: JSON and YAML text read as plain data, with the place of every fault."""
