"""May this change ship? Reads a run, says yes, no or cannot tell, and why."""
