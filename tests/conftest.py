"""Fixtures and settings for all tests."""

from hypothesis import settings

pytest_plugins = ["tests.fixtures_clickhouse"]

# No deadlines: the machine that runs tests also does other things.
settings.register_profile("without deadlines", deadline=None)
settings.load_profile("without deadlines")
