"""ClickHouse's HTTP interface on the embedded database of the service."""

from collector.extensions.clickhouse_http.extension import clickhouse_http

__all__ = ["clickhouse_http"]
