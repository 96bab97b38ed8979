"""Baseline rates that rise by themselves: where few traces come, more of them are sampled (docs/sampling.md).

count.py    traces of the last day, by tenant and rule
ladder.py   from counts to rates, in coarse steps
file.py     the rates in use: written by the one that counts, read by processors
keeper.py   counts and writes now and then, while the service runs
"""
