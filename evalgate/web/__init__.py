"""The web pages: an extension of the running service."""
