"""Issues: failure modes that people have named, counted and numbered."""
