-- How many rows of a table are meant.
SELECT count() AS n
FROM ${table}
WHERE ${condition}
