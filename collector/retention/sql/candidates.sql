-- Traces of a day that may go, or whose weight may have to be kept: all but those that are flagged and have it. Of a day
-- so old that flagged ones go, all.
INSERT INTO retention_decisions (run, fate, tenant, trace_id, last_day)
SELECT {run:String}, 'candidate', tenant, id, {last_day:Date}
FROM
(
/* rows_of_traces */
)
GROUP BY tenant, id
HAVING NOT max(failing OR baseline) OR isNull(max(frozen_weight)) OR {last_day:Date} <= {flagged_until:Date}
SETTINGS max_bytes_before_external_group_by = 134217728
