"""What people say of traces, and the cases that come of it."""
