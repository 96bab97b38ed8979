"""Alignment: evaluators measured against what people said, and what that permits them."""
