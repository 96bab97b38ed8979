-- Issues: a failure mode that people have named, under a small number that they can say. Append-only, like all that
-- people decide. `opened` gives the number: INSERTs of one tenant and number have one deduplication token, so of two who
-- take the same number the first has it, and the other reads on and takes the next (evalgate/review/numbers.py).
CREATE TABLE IF NOT EXISTS issue_events
(
    tenant LowCardinality(String),
    number UInt32,
    at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC'),
    event LowCardinality(String),
    failure_mode String,
    actor String,
    reason String
)
ENGINE = MergeTree
ORDER BY (tenant, number)
SETTINGS ${durable};

CREATE OR REPLACE VIEW issues AS
SELECT
    tenant,
    number,
    i.1 AS failure_mode,
    i_at AS opened_at,
    i.2 AS opened_by
FROM
(
    SELECT
        tenant,
        number,
        argMinIf((failure_mode, actor), at, event = 'opened') AS i,
        minIf(at, event = 'opened') AS i_at
    FROM issue_events
    GROUP BY tenant, number
);
