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

CREATE OR REPLACE VIEW tenant_cases AS SELECT * FROM cases WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_case_events AS SELECT * FROM case_events WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_issue_events AS SELECT * FROM issue_events WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_issues AS SELECT * FROM issues WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_cluster_runs AS SELECT * FROM cluster_runs WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_cluster_events AS SELECT * FROM cluster_events WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_clusters AS SELECT * FROM clusters WHERE tenant = {tenant:String};

CREATE OR REPLACE VIEW tenant_clustered_traces AS
SELECT * FROM clustered_traces WHERE tenant = {tenant:String};
