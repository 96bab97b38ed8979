-- What people decided: append-only, so the audit trail is the data. An undo is a new row.
CREATE TABLE IF NOT EXISTS annotations
(
    tenant LowCardinality(String),
    annotation_id String,
    created_at DateTime64(6, 'UTC'),
    trace_id String,
    span_id String,
    verdict LowCardinality(String),
    failure_mode String,
    corrected_output Nullable(String) CODEC(ZSTD(3)),
    comment String CODEC(ZSTD(3)),
    annotator String,
    undone UInt8 DEFAULT 0
)
ENGINE = MergeTree
ORDER BY (tenant, trace_id, annotation_id, created_at)
SETTINGS ${durable};

CREATE OR REPLACE VIEW annotations_latest AS
SELECT
    tenant,
    annotation_id,
    a_created_at AS created_at,
    a.1 AS trace_id,
    a.2 AS span_id,
    a.3 AS verdict,
    a.4 AS failure_mode,
    a.5 AS corrected_output,
    a.6 AS comment,
    a.7 AS annotator
FROM
(
    SELECT
        tenant,
        annotation_id,
        max(created_at) AS a_created_at,
        argMax(
            tuple(trace_id, span_id, verdict, failure_mode, corrected_output, comment, annotator), (created_at, undone)
        ) AS a,
        argMax(undone, (created_at, undone)) AS a_undone
    FROM annotations
    GROUP BY tenant, annotation_id
)
WHERE a_undone = 0;

CREATE TABLE IF NOT EXISTS case_events
(
    tenant LowCardinality(String),
    case_id String,
    at DateTime64(6, 'UTC'),
    event LowCardinality(String),
    actor String,
    reason String,
    body String CODEC(ZSTD(3))
)
ENGINE = MergeTree
ORDER BY (tenant, case_id, at)
SETTINGS ${durable};

-- The body is that of the latest event that carries one.
CREATE OR REPLACE VIEW cases AS
SELECT
    tenant,
    case_id,
    transform(c_event, ['created', 'promoted', 'rejected'], ['quarantined', 'promoted', 'rejected'], '') AS status,
    JSONExtractString(c_body, 'provenance', 'trace_id') AS trace_id,
    JSONExtractString(c_body, 'failure_mode') AS failure_mode,
    JSONExtractString(c_body, 'feature') AS feature,
    c_created_at AS created_at,
    c_body AS body
FROM
(
    SELECT
        tenant,
        case_id,
        argMax(event, (at, event)) AS c_event,
        argMaxIf(body, at, body != '') AS c_body,
        min(at) AS c_created_at
    FROM case_events
    GROUP BY tenant, case_id
);
