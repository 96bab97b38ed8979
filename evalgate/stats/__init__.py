"""How often does it fail, and how sure is that? Rates of traffic of which not everything was kept."""
