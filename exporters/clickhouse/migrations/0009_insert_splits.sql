-- Blocks and parts of blocks that were sent in halves because ClickHouse refused rows of them: a replay does so again,
-- as the parts have other deduplication tokens than the block.
CREATE TABLE IF NOT EXISTS insert_splits
(
    part String CODEC(ZSTD(1)),
    at DateTime('UTC') DEFAULT now()
)
ENGINE = MergeTree
ORDER BY part
TTL at + INTERVAL 90 DAY
SETTINGS ${durable};
