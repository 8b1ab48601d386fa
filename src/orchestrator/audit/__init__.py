"""Proof that the log is unchanged: the hash chain and its heads, the audit, replay and diff, export and import."""
