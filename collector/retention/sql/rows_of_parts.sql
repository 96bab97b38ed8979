SELECT count() AS n FROM trace_parts
