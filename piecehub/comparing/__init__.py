"""Two SavedModels side by side, and whether the one can stand in for the other.

interface.py    what a consumer's code relies on, read from files and protos: nothing is loaded
side.py         one of the two: its interface, size, operations, data and evidence
metrics.py      how well both fine-tune on each task, paired where the evidence allows it
comparison.py   both together, and the verdict

It imports `conformance`, `transfer`, `lineage`, `store` and what is below. Read `comparison.compare` first.
"""
