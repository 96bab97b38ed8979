"""Datasets: files of cases in the user's repository, versioned by content."""
