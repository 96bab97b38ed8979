"""`evalgate gate --report`: the gate of Evalytic's reports, with its flags, its payload and its exit codes.

Recorded behaviour rules here, also where our own gate would be stricter: a metric that is missing counts as 0, a model
that is gone is not noticed, a report with nothing to check passes. Where the recorded tool died, this one exits 2.
The record is in tests/evalgate/gate_compatible; docs/ci.md lists what to know before one trusts it.
"""
