-- Spans of a portion, as each INSERT understood them. What reads content gets it only where it could matter: the
-- conditions let through everything of which schema/failure/ could say anything.
SELECT 1 /* columns */
FROM
(
    SELECT
        *,
        if(
            input_text_bytes = 0,
            input_text_kept,
            JSONExtractString(concat('"', substring(input_messages, input_text_at, input_text_bytes), '"'))
        ) AS input_text,
        if(
            output_text_bytes = 0,
            output_text_kept,
            JSONExtractString(concat('"', substring(output_messages, output_text_at, output_text_bytes), '"'))
        ) AS output_text
    FROM tenant_spans(tenant = {tenant:String})
    WHERE received_at >= toDateTime({first_s:UInt32}, 'UTC') AND received_at < toDateTime({last_s:UInt32}, 'UTC')
        /* portion */
)
