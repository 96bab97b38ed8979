"""Find the traces that are worth a person's time, and read them."""
