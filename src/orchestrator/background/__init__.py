"""Background duties: restarted when they fail, with growing pauses between attempts."""
