-- What a span takes on disk, over all that is stored; where there are several servers, on the one that answers.
SELECT sum(bytes_on_disk) / greatest(sum(rows), 1) AS bytes_per_span
FROM system.parts
WHERE database IN (currentDatabase(), concat(currentDatabase(), '_local')) AND table = 'spans' AND active
