"""Components of the imaginary company Acme."""
