"""Receive, journal, decode, normalise, sample, hand to exporters."""
