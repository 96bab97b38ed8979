-- The labels that stand of the traces of some queues, by queue and trace; of some traces, where ids are given.
SELECT
    queued.queue AS queue,
    queued.trace_id AS trace_id,
    toUnixTimestamp64Micro(queued.requeued_at) AS requeued_unix_us,
    said.span_id AS span_id,
    said.annotator AS annotator,
    said.verdict AS verdict,
    said.failure_mode AS failure_mode,
    said.role AS role,
    toUnixTimestamp64Micro(said.created_at) AS at_unix_us
FROM
(
    SELECT queue, trace_id, requeued_at
    FROM tenant_queued_traces(tenant = {tenant:String})
    WHERE has({queues:Array(String)}, queue)
        AND (empty({trace_ids:Array(String)}) OR has({trace_ids:Array(String)}, trace_id))
) AS queued
INNER JOIN
(
    SELECT trace_id, span_id, annotator, verdict, failure_mode, role, created_at
    FROM tenant_annotations(tenant = {tenant:String})
    WHERE empty({trace_ids:Array(String)}) OR has({trace_ids:Array(String)}, trace_id)
) AS said ON said.trace_id = queued.trace_id
ORDER BY queue, trace_id, at_unix_us
