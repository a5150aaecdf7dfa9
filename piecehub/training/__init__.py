"""The full model: the recipe's code, the training. Imports TensorFlow, `examples`, `tensors` and `facts`.

    full_model          trains it and writes it; building: calls the recipe's function, checkpoint: where it starts
    recipe_modules      a recipe's Python, loaded by path
    weights             checkpoints in the model's own order
    curves, event_files, determinism

Read `full_model.train` first.
"""
