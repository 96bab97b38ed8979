"""Drafts of further cases, made of labelled failures: by rules over the user's message, or by a model."""
