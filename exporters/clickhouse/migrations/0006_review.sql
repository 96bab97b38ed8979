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
    -- low, medium, high or critical; '' where nobody said.
    severity LowCardinality(String),
    -- Which parts of the conversation are meant, as JSON; '' for all of it.
    anchor String CODEC(ZSTD(3)),
    -- The queue it was labelled from; '' for none.
    queue LowCardinality(String),
    -- label or adjudication.
    role LowCardinality(String) DEFAULT 'label',
    undone UInt8 DEFAULT 0
)
ENGINE = MergeTree
ORDER BY (tenant, trace_id, annotation_id, created_at)
SETTINGS ${durable};

-- What failure modes came to be called: renamed, merged into another, or split, which moves some labels alone. The words
-- of labels stay as they were said. A change has its number to itself: INSERTs of one tenant and number have one
-- deduplication token, so of two who change at the same time the second reads what the first wrote, and does it again
-- (evalgate/issues/modes.py). No row leads to a mode that another row renames: chains are followed when they are written,
-- in further rows of the same change. `undone` takes back the change that change_id names.
CREATE TABLE IF NOT EXISTS mode_changes
(
    tenant LowCardinality(String),
    number UInt32,
    change_id UInt32,
    at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC'),
    -- renamed, merged or split
    action LowCardinality(String),
    from_mode String,
    to_mode String,
    -- The number of the issue that the labels belonged to, and belong to now.
    from_issue UInt32,
    issue UInt32,
    -- Empty: every label that says from_mode; else only these.
    annotation_ids Array(String),
    -- What a person asked for; 0 of the rows that follow from it.
    stated UInt8,
    actor String,
    reason String,
    undone UInt8 DEFAULT 0
)
ENGINE = MergeTree
ORDER BY (tenant, number)
SETTINGS ${durable};

-- What words and labels mean by now, where that is another failure mode: `said` is a word, or '' where the row is of one
-- label that was split off.
CREATE OR REPLACE VIEW mode_names AS
SELECT tenant, said, annotation_id, n.1 AS failure_mode, n.2 AS issue
FROM
(
    SELECT
        tenant,
        if(empty(annotation_ids), from_mode, '') AS said,
        annotation_id,
        argMax((to_mode, issue), number) AS n
    FROM mode_changes
    ARRAY JOIN if(empty(annotation_ids), [''], annotation_ids) AS annotation_id
    WHERE NOT undone AND (tenant, change_id) NOT IN (SELECT tenant, change_id FROM mode_changes WHERE undone)
    GROUP BY tenant, said, annotation_id
);

-- Labels that stand. `failure_mode` is what it is called now, `failure_mode_said` the word of the annotator. The changes
-- are few and looked up in a map: joined, they would cost this view 30 ms instead of 10 (measured).
CREATE OR REPLACE VIEW annotations_latest AS
WITH
    (
        SELECT CAST((groupArray(concat(tenant, ' ', said, ' ', annotation_id)), groupArray(failure_mode)),
            'Map(String, String)')
        FROM mode_names
    ) AS names
SELECT
    tenant,
    annotation_id,
    a_created_at AS created_at,
    a.1 AS trace_id,
    a.2 AS span_id,
    a.3 AS verdict,
    multiIf(
        a_said = '', '',
        names[concat(tenant, '  ', annotation_id)] != '', names[concat(tenant, '  ', annotation_id)],
        names[concat(tenant, ' ', a_said, ' ')] != '', names[concat(tenant, ' ', a_said, ' ')],
        a_said
    ) AS failure_mode,
    a.4 AS corrected_output,
    a.5 AS comment,
    a.6 AS annotator,
    a.7 AS severity,
    a.8 AS anchor,
    a.9 AS queue,
    a.10 AS role,
    a_said AS failure_mode_said
FROM
(
    SELECT
        tenant,
        annotation_id,
        max(created_at) AS a_created_at,
        argMax(annotations.failure_mode, (created_at, undone)) AS a_said,
        argMax(
            tuple(trace_id, span_id, verdict, corrected_output, comment, annotator, severity, anchor, queue, role),
            (created_at, undone)
        ) AS a,
        argMax(undone, (created_at, undone)) AS a_undone
    FROM annotations
    GROUP BY tenant, annotation_id
)
WHERE a_undone = 0;

-- Labels that were taken back: a form that comes again after that must not put one back.
CREATE OR REPLACE VIEW undone_annotations AS
SELECT tenant, annotation_id, created_at, trace_id, annotator FROM annotations WHERE undone = 1;

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

-- The body is that of the latest event that carries one. `renamed` brings a body alone: it says what the failure mode is
-- called now, and leaves the case where it stands.
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
        argMaxIf(event, (at, event), event != 'renamed') AS c_event,
        argMaxIf(body, at, body != '') AS c_body,
        min(at) AS c_created_at
    FROM case_events
    GROUP BY tenant, case_id
);
