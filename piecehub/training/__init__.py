"""The full model: the recipe's code, its examples, the training. Imports TensorFlow, `tensors` and `facts`.

    full_model          trains it and writes it; building: calls the recipe's function, checkpoint: where it starts
    recipe_modules      a recipe's Python, loaded by path
    examples, records   examples in, records out; anomalies: what stops a training
    weights             checkpoints in the model's own order
    curves, event_files, determinism

Read `full_model.train` first.
"""
