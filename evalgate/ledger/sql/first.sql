-- When the ledger begins; 0 while it is empty.
SELECT toInt64(toUnixTimestamp(min(minute))) AS at_s FROM ledger WHERE {tenant:String} = '' OR tenant = {tenant:String}
