-- What was done to the taxonomy, in order; of one change the row that was asked for first.
SELECT
    number,
    change_id,
    toUnixTimestamp64Micro(at) AS at_unix_us,
    action,
    from_mode,
    to_mode,
    from_issue,
    issue,
    annotation_ids,
    stated,
    actor,
    reason,
    undone
FROM tenant_mode_changes(tenant = {tenant:String})
ORDER BY number, stated DESC, from_mode, empty(annotation_ids) DESC
