"""Clusters: traces that behave alike, known again from run to run, and what no case covers."""
