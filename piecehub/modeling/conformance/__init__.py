"""The reusability validator: does a SavedModel keep the Reusable SavedModel interface?

graph.py     reads the protos: nodes, strings, producing operations
static.py    checks that read protos only, so they are safe on a stranger's model
dynamic.py   checks that load the model and call it
check.py     both, in a fresh process, on a moved copy; imports no TensorFlow itself
"""
