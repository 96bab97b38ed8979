-- The sessions and responses of some traces, as keys that need no quoting, and how many of the traces are in each.
SELECT key, uniqExact(tenant, trace_id) AS traces
FROM
(
    SELECT
        tenant,
        trace_id,
        arrayJoin([
            if(ifNull(session_id, '') = '', '', lower(hex(sipHash128('session', tenant, assumeNotNull(session_id))))),
            if(ifNull(response_id, '') = '', '', lower(hex(sipHash128('response', tenant, assumeNotNull(response_id)))))
        ]) AS key
    FROM spans
    WHERE ${condition}
)
WHERE key != '' AND ({any_key:UInt8} OR key IN {keys:Array(String)})
GROUP BY key
