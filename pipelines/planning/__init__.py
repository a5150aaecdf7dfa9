"""What a run would do, and why, before it does it.

foresee     asks ML Metadata, as the launcher asks it: what runs, and what comes from the cache        (TFX)
made_of     what a run is made of: parameters, code by file and function, examples
reasons     why something runs: what differs from the last published run, by name
plan        the three joined: the document of piecehub/facts/plan.py                                   (TFX)
text        the same for a person
"""
