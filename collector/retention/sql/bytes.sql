-- What the rows of each table take on disk.
SELECT table, sum(rows) AS n, sum(bytes_on_disk) AS bytes
FROM system.parts
WHERE database = currentDatabase() AND active AND table IN {tables:Array(String)}
GROUP BY table
