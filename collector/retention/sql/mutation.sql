-- How far a deletion is; no row: it never began, or somebody killed it.
SELECT
    min(is_done) AS is_done,
    any(latest_fail_reason) AS fails,
    max(parts_to_do) AS parts_to_do,
    any(mutation_id) AS mutation
FROM system.mutations
WHERE database = currentDatabase() AND table = {table:String} AND NOT is_killed
    AND position(command, {run:String}) > 0 AND position(command, concat('IN PARTITION \'', {day:String}, '\'')) > 0
GROUP BY mutation_id
ORDER BY mutation_id DESC
LIMIT 1
