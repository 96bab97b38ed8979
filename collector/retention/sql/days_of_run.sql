-- The days in which a table has rows that go.
SELECT DISTINCT toDate(/* received */) AS day
FROM /* table */
WHERE toDate(/* received */) <= {until:Date} AND (/* condition */)
ORDER BY day
