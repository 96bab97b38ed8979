-- What a span takes on disk, over all that is stored.
SELECT sum(bytes_on_disk) / greatest(sum(rows), 1) AS bytes_per_span
FROM system.parts
WHERE database = currentDatabase() AND table = 'spans' AND active
