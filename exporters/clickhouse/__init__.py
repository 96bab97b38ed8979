"""ClickHouse, embedded or served: connection, schema, rows, and the exporter that writes them."""

from exporters.clickhouse.exporter import clickhouse

__all__ = ["clickhouse"]
