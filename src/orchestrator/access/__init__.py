"""Who may come in: keys, tokens of an identity provider, roles, and how often somebody may ask."""
