toInt32({today:Date}) - toInt32(last_day)
