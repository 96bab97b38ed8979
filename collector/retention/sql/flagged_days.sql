transform(toString(tenant), {tenants:Array(String)}, {flagged:Array(Int32)}, {flagged_days:Int32})
