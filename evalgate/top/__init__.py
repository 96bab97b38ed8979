"""What a running collector does now: spans a second, lag, queue, refused, per tenant."""
