"""The whole loop, walked on a terminal in a minute."""
