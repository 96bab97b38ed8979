"""The exporter `parquet`: files of rows, by day of receipt, for whoever reads Parquet.

    <folder>/spans/day=2026-09-21/<token>.parquet     columns of the table `spans`
    <folder>/events/day=2026-09-21/<token>.parquet    log records
    <folder>/feedback/day=…

A file is named by the token of its batch, so a replay replaces it by the same; it is there whole or not at all.
"""

from exporters.parquet.exporter import ParquetConfig, ParquetExporter, parquet

__all__ = ["ParquetConfig", "ParquetExporter", "parquet"]
