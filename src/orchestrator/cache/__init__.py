"""What need not be done again: results of steps by the hash of their input, and who is making one right now."""
