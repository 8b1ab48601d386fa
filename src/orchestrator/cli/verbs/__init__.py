"""The commands: their options and help. Each imports its implementation when it is called."""
