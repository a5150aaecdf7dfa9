"""The reusability validator: does a SavedModel keep the Reusable SavedModel interface?

static.py    S1 to S16, which read files and protos only: contents.py (files), operations.py (the graph), ops.py (which
             operations may stand in it), savers.py (what restores), tables.py (where tables come from),
             keras_metadata.py (what tf_keras builds), settings.py (what servers are told), fingerprint.py, graph.py
             (reads the protos)
dynamic.py   D1 to D35, which load the model and call it
             loaded.py (what every check asks of a model, and how large its batches are), passes.py (passes that several
             share), sample.py, pace.py and heap.py (what bounds time and memory)
inside.py    both, as one process runs them
glance.py    what costs seconds: static checks, interface, page; before anybody waits for the others
check.py     that process, fresh, on a moved copy, in a sandbox (sandbox.py); imports no TensorFlow itself

It imports TensorFlow in that process only, and of ours `exporting`, `consume`, `store` and what is below. The form of
its report is a fact (`facts/conformance_report.py`). Read `check.check_saved_model` first.
"""
