"""The verbs: their options and help. What they do is imported when one is called."""
