"""Who may send and read: API keys, tenants and their limits, TLS."""
