"""What a run would do, and why, before it does it.

foresee      asks ML Metadata, as the launcher asks it: what runs, and what comes from the cache        (TFX)
made_of      what a run is made of: parameters, code by file and function; sources: the texts of that code
reasons      why something runs: what differs from the last published run, by name
plan         the three joined: the document of piecehub/facts/plan.py                                   (TFX)
text         the same for a person
stamp        what a run leaves at its end; store_state, read: what is in it
at_once      tells by it in a second that there is nothing to do; repeat: what a run says then
parameters   what a compiled component is told                                                          (TFX)
"""
