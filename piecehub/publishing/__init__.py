"""A model that somebody offers, taken into a store: checked, its page held against it, signed. Light at import.

It joins the validator, the gate, signatures and the store, none of which knows the others; hence a room of its own.

    offered    a SavedModel that no run of ours made, alone or with its preprocessor
    look       all that is wrong with it, before anybody waits for its checks
    proof      evidence that comes with it, judged by the gate
    exported   a saved Keras model, exported to be offered
    begun      its page, with questions for what only a person knows

Read `offered.publish_made_elsewhere` first.
"""
