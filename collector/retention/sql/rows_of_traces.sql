    -- What was stored late, or received by a clock that was behind, lives as long as what came then.
    SELECT
        tenant,
        trace_id AS id,
        greatest(toDate(received_hour), if(toDate(touched_at) <= {today:Date}, toDate(touched_at), toDate(0))) AS day,
        failing, baseline, baseline_rate, arrival_rate, frozen_weight, span_count,
        0 AS log_count, 0 AS feedback_count
    FROM trace_parts
    WHERE toDate(received_hour) BETWEEN {first_day:Date} AND {last_day:Date} /* and_trace_id */
    UNION ALL
    SELECT tenant, trace_id AS id, toDate(received_at) AS day, false, false, NULL, NULL, NULL, 0, 1, 0
    FROM events
    WHERE trace_id != toFixedString('', 16)
        AND toDate(received_at) BETWEEN {first_day:Date} AND {last_day:Date} /* and_trace_id */
    UNION ALL
    SELECT tenant, toFixedString(unhex(feedback.trace_id), 16) AS id, toDate(received_at) AS day, false, false, NULL,
        NULL, NULL, 0, 0, 1
    FROM feedback
    WHERE match(feedback.trace_id, '^[0-9a-f]{32}\\z')
        AND toDate(received_at) BETWEEN {first_day:Date} AND {last_day:Date} /* and_hex_id */
