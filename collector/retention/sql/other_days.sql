transform(toString(tenant), {tenants:Array(String)}, {other:Array(Int32)}, {other_days:Int32})
