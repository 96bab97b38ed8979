"""Sampling policies over stored traffic: what one would do before it is switched on, and what the present one does."""
