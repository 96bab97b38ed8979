"""Hypothesis without deadlines: the machine that runs tests also does other things."""

from hypothesis import settings

settings.register_profile("without deadlines", deadline=None)
settings.load_profile("without deadlines")
