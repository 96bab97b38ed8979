"""Select, review, generate, run, gate."""
