-- The database that statements speak of, and whether the engine is chdb: only chdb has the table function Python.
SELECT
    currentDatabase() AS name,
    (SELECT count() FROM system.table_functions WHERE lower(name) = 'python') > 0 AS is_chdb
