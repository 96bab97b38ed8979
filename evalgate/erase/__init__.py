"""`evalgate erase`: traces, users and tenants leave the database, the datasets and the journal."""
