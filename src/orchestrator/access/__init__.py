"""Access control: API keys, tokens from an identity provider, roles, and rate limits."""
