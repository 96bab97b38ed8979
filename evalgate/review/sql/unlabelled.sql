-- Flagged traces that nobody has labelled: what failed first, then what was sampled, the latest first.
SELECT trace_id
FROM flagged_traces
WHERE tenant = {tenant:String} /* conditions */
    AND trace_id NOT IN (SELECT trace_id FROM annotations_latest WHERE tenant = {tenant:String})
ORDER BY failing DESC, start_time DESC, trace_id
