"""Placeholder until the exporter lands."""
