"""Queues: which traces a person looks at, in what order, and what came of it.

    definition.py   what a queue is: filters, weights, reviewers, shares
    store.py        its versions in the database
    fill.py         choose traces: the highest priority, and a random share of all that the filters admit
    items.py        where each trace of a queue stands; the order of review
    reserve.py      who looks at which right now
    blind.py        whose labels a reviewer may see
    progress.py     how far a queue is
    yields.py       what the looking found, by signal
    reweight.py     what that says about the points of the signals

Nothing is ever changed in place: definitions, items and reservations are rows, and where something stands is read out
of them.
"""
