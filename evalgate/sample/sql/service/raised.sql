-- Rates that a collector raised to reach the target: of each rule of this tenant the latest.
SELECT rule, argMax(rate, at) AS in_use, argMax(target_per_day, at) AS target
FROM baseline_rates
WHERE tenant = {tenant:String}
GROUP BY rule
