-- Issues: a failure mode that people have named, under a small number that they can say. Append-only, like all that
-- people decide. `opened` gives the number: INSERTs of one tenant and number have one deduplication token, so of two who
-- take the same number the first has it, and the other reads on and takes the next (evalgate/review/numbers.py).
-- `moved` brings the issue to a status; transitions of an issue are numbered by `sequence`, from 1 on, and each number is
-- stored once by the same means (evalgate/issues/moves.py).
CREATE TABLE IF NOT EXISTS issue_events
(
    tenant LowCardinality(String),
    number UInt32,
    at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC'),
    event LowCardinality(String),
    -- Of `opened`: as it was called then.
    failure_mode String,
    sequence UInt32,
    from_status LowCardinality(String),
    to_status LowCardinality(String),
    -- Since when it holds: a fix since the run that showed it began, whenever that was noticed.
    since DateTime64(6, 'UTC'),
    -- Not asked for by a person, but found by the rules of the lifecycle.
    is_automatic Bool,
    actor String,
    reason String
)
ENGINE = MergeTree
ORDER BY (tenant, number)
SETTINGS ${durable};

-- `failure_mode` is what it is called now. One that was merged into another says into which; others say 0.
CREATE OR REPLACE VIEW issues AS
WITH
    (
        SELECT CAST((groupArray(concat(tenant, ' ', said)), groupArray((failure_mode, issue))),
            'Map(String, Tuple(String, UInt32))')
        FROM mode_names
        WHERE annotation_id = ''
    ) AS names
SELECT
    tenant,
    number,
    if(names[concat(tenant, ' ', i.1)].1 != '', names[concat(tenant, ' ', i.1)].1, i.1) AS failure_mode,
    i_at AS opened_at,
    i.2 AS opened_by,
    if(i_moves > 0, m.1, 'new') AS status,
    if(i_moves > 0, m.2, i_at) AS status_since,
    m.3 AS status_by,
    m.4 AS status_reason,
    if(names[concat(tenant, ' ', i.1)].2 = number, 0, names[concat(tenant, ' ', i.1)].2) AS merged_into
FROM
(
    SELECT
        tenant,
        number,
        argMinIf((failure_mode, actor), at, event = 'opened') AS i,
        minIf(at, event = 'opened') AS i_at,
        countIf(event = 'moved') AS i_moves,
        argMaxIf((to_status, since, actor, reason), sequence, event = 'moved') AS m
    FROM issue_events
    GROUP BY tenant, number
);
