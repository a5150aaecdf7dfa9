"""The full model: the recipe's code, the training. Imports TensorFlow, `examples`, `tensors` and `facts`.

    full_model          trains it and writes it; building: calls the recipe's function, checkpoint: where it starts
    epochs              Keras' own `fit`, an epoch at a time; batches: which it has, pairing: what `fit` gets of one
    compiling           loss, metric and optimizer; callbacks, class_weights, precision: more of what `[train]` says
    own_code            the recipe's functions beside the one that builds the model; own_fit: one that trains
    devices             on what it runs
    resume              checkpoints, by which a killed training goes on; progress: how far it is
    recipe_modules      a recipe's Python, loaded by path; written_examples: what its data.py writes
    weights             checkpoints in the model's own order
    curves, event_files, determinism

Read `full_model.train` first.
"""
