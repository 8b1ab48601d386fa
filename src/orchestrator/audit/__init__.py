"""Proof: the hash chain and its heads, the audit, replay and diff, export and import."""
