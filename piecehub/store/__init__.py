"""The store: its disk form and its wire form. Light: nothing here imports TensorFlow.

archive   a model folder as a deterministic `.tar.gz`, and back
members   reads an archive that nobody trusts
disk      writing that survives a crash
catalog   the layout, and what it holds
publish   adds a version
server    the hosting protocol of TensorFlow Hub
"""
