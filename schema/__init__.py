"""What a span, a case and a verdict ARE: values, columns and pure rules. No I/O; imports nothing of ours."""
