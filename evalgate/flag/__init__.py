"""The optional flagger: a language model reads some of the traces that nothing else has decided about.

    categories.py   what it may say
    choose.py       which traces are asked about: the ambiguous ones, and a random share of those that signals pass
    prompt.py       what it is told, and how its answer is read
    store.py        what it said, append-only; never asked twice for one trace and version
    commands.py     evalgate flag

What it says becomes the signal `model_flag` (evalgate/signals). It is machine evidence: no label, no reason of failing.
Nothing here runs when traces come in.
"""
