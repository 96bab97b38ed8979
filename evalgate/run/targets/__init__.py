"""What a run sends its cases to."""
