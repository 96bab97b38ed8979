-- What one tenant has. A view with a parameter cannot be read without saying whose rows are meant, in any engine: our
-- own statements for users read these and nothing else (docs/adr/0016).
CREATE OR REPLACE VIEW tenant_spans AS SELECT * FROM spans WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_settled_spans AS SELECT * FROM settled_spans WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_span_revisions AS
SELECT * FROM span_revisions WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_traces AS SELECT * FROM traces WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_flagged_traces AS SELECT * FROM flagged_traces WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_trace_parts AS SELECT * FROM trace_parts WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_feedback AS SELECT * FROM feedback WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_annotations AS
SELECT * FROM annotations_latest WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_undone_annotations AS
SELECT * FROM undone_annotations WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_cases AS SELECT * FROM cases WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_case_events AS SELECT * FROM case_events WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_issue_events AS SELECT * FROM issue_events WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_issues AS SELECT * FROM issues WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_mode_changes AS SELECT * FROM mode_changes WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_mode_names AS SELECT * FROM mode_names WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_cluster_runs AS SELECT * FROM cluster_runs WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_cluster_events AS SELECT * FROM cluster_events WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_clusters AS SELECT * FROM clusters WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_clustered_traces AS
SELECT * FROM clustered_traces WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_flags AS SELECT * FROM flags WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_queue_events AS SELECT * FROM queue_events WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_queues AS SELECT * FROM queues WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_queue_items AS SELECT * FROM queue_items WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_queued_traces AS SELECT * FROM queued_traces WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_queue_reservations AS
SELECT * FROM queue_reservations WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_queue_holds AS SELECT * FROM queue_holds WHERE tenant = {tenant:String};
