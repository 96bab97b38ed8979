-- The traces about which this version was asked.
SELECT trace_id FROM tenant_flags(tenant = {tenant:String}) WHERE version = {version:String}
