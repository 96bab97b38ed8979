-- The columns of the OpenTelemetry Collector's ClickHouse exporter, so that its dashboards work.
-- Source: opentelemetry-collector-contrib, exporter/clickhouseexporter, traces table.
--
-- SampleRate is how many spans this one stands for: those that samplers before us left out (as the sender says in the
-- attribute SampleRate, or in `ot=th` of the tracestate) times those that retention took. An attribute above
-- 10,000 is not believed; of a tracestate the processor sample says what is (min_arrival_rate).
--
-- HyperDX takes whole numbers alone and counts every other as 1: it reads greatest(toUInt64OrZero(toString(SampleRate)),
-- 1). So a rate of 6.67 is 6 for a third of the traces and 7 for the rest, by a hash of the trace id: sums over many are
-- right.
CREATE OR REPLACE VIEW otel_traces AS
SELECT
    start_time AS Timestamp,
    lower(hex(trace_id)) AS TraceId,
    lower(hex(span_id)) AS SpanId,
    if(parent_span_id = toFixedString('', 8), '', lower(hex(parent_span_id))) AS ParentSpanId,
    trace_state AS TraceState,
    name AS SpanName,
    CAST(initcap(wire_kind), 'LowCardinality(String)') AS SpanKind,
    service_name AS ServiceName,
    resource_attributes AS ResourceAttributes,
    scope_name AS ScopeName,
    CAST(scope_version, 'String') AS ScopeVersion,
    span_attributes AS SpanAttributes,
    duration_ns AS Duration,
    CAST(initcap(status_code), 'LowCardinality(String)') AS StatusCode,
    status_message AS StatusMessage,
    events.time AS `Events.Timestamp`,
    events.name AS `Events.Name`,
    events.attributes AS `Events.Attributes`,
    links.trace_id AS `Links.TraceId`,
    links.span_id AS `Links.SpanId`,
    links.trace_state AS `Links.TraceState`,
    links.attributes AS `Links.Attributes`,
    toUInt64(least(
        greatest(
            if(
                toUInt64OrZero(span_attributes['SampleRate']) <= 10000,
                toFloat64(toUInt64OrZero(span_attributes['SampleRate'])),
                0.
            ),
            1. / ifNull(arrival_rate, 1.),
            1.
        )
            * sample_weight
        + cityHash64(trace_id) % 1048576 / 1048576,
        1e15
    )) AS SampleRate,
    tenant
FROM spans;

CREATE OR REPLACE VIEW otel_traces_trace_id_ts AS
SELECT
    lower(hex(trace_id)) AS TraceId,
    toDateTime(assumeNotNull(min(trace_parts.start_time)), 'UTC') AS Start,
    toDateTime(assumeNotNull(max(trace_parts.end_time)), 'UTC') AS End
FROM trace_parts
WHERE isNotNull(trace_parts.start_time)
GROUP BY tenant, trace_id;
