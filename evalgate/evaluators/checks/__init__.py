"""What the rules compute, from plain values to (holds, reason).

Standard library only and plain types: the source of these functions is also the Python form of an evaluator, which runs
without this package. A check raises `ValueError` where nothing can be said: that is an error, and never a verdict.
"""
