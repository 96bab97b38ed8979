SELECT 1 AS is_left
FROM /* table */
WHERE toDate(/* received */) = {day:Date} AND (/* condition */)
LIMIT 1
