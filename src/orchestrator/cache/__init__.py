"""The step cache: step results by the hash of their input, and which run is producing a missing result."""
