"""Who may ask, over HTTP: thin endpoints around `commands` (what may be asked) and the reader of the read models."""
