"""Signals: what makes a trace worth a person's time, each with its number, and what they add up to.

    population.py   what is read: one row a trace, out of a few statements
    cohorts.py      which traces are compared with each other, and what is unusual among them
    sequences.py    how surprising a sequence of tools is
    measure.py      the signals, column by column
    weights.py      evals/queue.yaml: what each signal adds
    priority.py     the sum, and its parts
    words.py        a signal in words

Nothing here asks a model, draws a random number or looks at a clock: the same rows give the same order.
"""

from evalgate.signals.measure import Signals, measure, signals
from evalgate.signals.priority import Priority, prioritise
from evalgate.signals.weights import Weights, read_weights

__all__ = ["Priority", "Signals", "Weights", "measure", "prioritise", "read_weights", "signals"]
