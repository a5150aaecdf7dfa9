"""A model that somebody offers, taken into a store: checked, its page held against it, signed. Light at import.

It joins the validator, signatures and the store, none of which knows the others; hence a room of its own.

    offered    a SavedModel that no run of ours made

Read `offered.publish_made_elsewhere` first.
"""
