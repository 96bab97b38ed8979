"""Candidates for a rule: everything simple that is true of some outputs and not of others. No label is looked at here.

Each module reads the examples and yields `Atom`s. What an atom fires on is computed here, for thousands of candidates;
a rule that is chosen is judged again by the evaluator that will judge with it.
"""

from evalgate.generate.features.atom import Atom, Candidates, gather

__all__ = ["Atom", "Candidates", "gather"]
