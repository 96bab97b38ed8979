"""Evaluators: read from files, and what they do with an output."""
