-- What was said of traces since then: all that is negative, and all scores of the evaluations that have a threshold.
SELECT lower(feedback.trace_id) AS trace_id, name, value, label, polarity
FROM tenant_feedback(tenant = {tenant:String}) AS feedback
WHERE received_at >= toDateTime({since_s:UInt32}, 'UTC')
    AND (polarity = 'negative' OR has({names:Array(String)}, name))
    AND match(feedback.trace_id, '^[0-9a-f]{32}$')
