-- Queues of review: what is put before whom. Append-only, like all that people decide.
--
-- Each definition of a queue is a version of it. INSERTs of one queue and version have one deduplication token, so of
-- two who change it at once the first has the version, and the other reads on (evalgate/queue/store.py).
CREATE TABLE IF NOT EXISTS queue_events
(
    tenant LowCardinality(String),
    queue String,
    version UInt32,
    at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC'),
    -- created, changed, closed, opened
    event LowCardinality(String),
    -- The whole definition as JSON, evalgate/queue/definition.py.
    body String CODEC(ZSTD(3)),
    actor String,
    reason String
)
ENGINE = MergeTree
ORDER BY (tenant, queue, version)
SETTINGS ${durable};

CREATE OR REPLACE VIEW queues AS
SELECT
    tenant,
    queue,
    q_version AS version,
    q.1 AS event,
    q.2 AS body,
    q.3 AS actor,
    q.4 AS reason,
    q.5 AS changed_at,
    q_created_at AS created_at
FROM
(
    SELECT
        tenant,
        queue,
        max(queue_events.version) AS q_version,
        argMin((event, body, actor, reason, at), (-toInt64(queue_events.version), at)) AS q,
        min(at) AS q_created_at
    FROM queue_events
    GROUP BY tenant, queue
);

-- What happened to a trace in a queue. Of `added` the first counts: two who fill at once add the same traces.
CREATE TABLE IF NOT EXISTS queue_items
(
    tenant LowCardinality(String),
    queue String,
    trace_id String,
    at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC'),
    -- added, removed, restored, assigned, requeued
    event LowCardinality(String),
    actor String,
    reason String,
    -- The rest is of `added`, but assigned_to, which is of `assigned`, too.
    score Float64,
    -- What the score is the sum of: {signal, points, strength, words}, as JSON.
    parts String CODEC(ZSTD(3)),
    -- Why it was added: its score, the random draw, or both.
    is_priority Bool,
    is_random Bool,
    -- A number from 0 to 1 out of its id, and below which number whatever this fill could choose from was added. The
    -- latter is the inclusion probability of its random draw.
    draw Float64,
    inclusion_probability Float64,
    -- What this fill drew from: so many traces that this version of the queue admits, with those that were in it
    -- already, received since window_start.
    population UInt64,
    version UInt32,
    window_start DateTime64(6, 'UTC'),
    start_time DateTime64(6, 'UTC'),
    assigned_to String
)
ENGINE = MergeTree
ORDER BY (tenant, queue, trace_id, at)
SETTINGS ${durable};

CREATE OR REPLACE VIEW queued_traces AS
SELECT
    tenant,
    queue,
    trace_id,
    i_added_at AS added_at,
    i.1 AS score,
    i.2 AS parts,
    i.3 AS is_priority,
    i.4 AS is_random,
    i.5 AS draw,
    i.6 AS inclusion_probability,
    i.7 AS version,
    i.8 AS window_start,
    i.9 AS start_time,
    i.10 AS population,
    i_assigned_to AS assigned_to,
    CAST(i_presence.1 = 'removed', 'Bool') AS is_removed,
    i_presence.2 AS presence_actor,
    i_presence.3 AS presence_reason,
    i_requeued_at AS requeued_at
FROM
(
    SELECT
        tenant,
        queue,
        trace_id,
        minIf(at, event = 'added') AS i_added_at,
        argMinIf(
            (
                score, parts, is_priority, is_random, draw, inclusion_probability, version, window_start,
                queue_items.start_time, population
            ),
            at,
            event = 'added'
        ) AS i,
        argMaxIf(queue_items.assigned_to, (at, event), event IN ('added', 'assigned')) AS i_assigned_to,
        argMaxIf((event, actor, reason), (at, event), event IN ('removed', 'restored')) AS i_presence,
        maxIf(at, event = 'requeued') AS i_requeued_at,
        countIf(event = 'added') AS i_added
    FROM queue_items
    GROUP BY tenant, queue, trace_id
)
WHERE i_added > 0;

-- Who looks at an item right now. What happens to the reservation of an item is numbered from 1, and INSERTs of one item
-- and number have one deduplication token: of two who take it at once the first has it (evalgate/queue/reserve.py).
CREATE TABLE IF NOT EXISTS queue_reservations
(
    tenant LowCardinality(String),
    queue String,
    trace_id String,
    number UInt32,
    at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC'),
    -- taken, extended, released
    event LowCardinality(String),
    reviewer String,
    -- When it was taken, and until when it holds unless it is extended.
    since DateTime64(6, 'UTC'),
    until DateTime64(6, 'UTC')
)
ENGINE = MergeTree
ORDER BY (tenant, queue, trace_id, number)
SETTINGS ${durable};

CREATE OR REPLACE VIEW queue_holds AS
SELECT
    tenant,
    queue,
    trace_id,
    h_number AS number,
    h.1 AS event,
    h.2 AS reviewer,
    h.3 AS since,
    h.4 AS until
FROM
(
    SELECT
        tenant,
        queue,
        trace_id,
        max(queue_reservations.number) AS h_number,
        argMin((event, reviewer, since, until), (-toInt64(queue_reservations.number), at)) AS h
    FROM queue_reservations
    GROUP BY tenant, queue, trace_id
);
