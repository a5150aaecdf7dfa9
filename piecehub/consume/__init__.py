"""A published piece in a consumer's program. Imports TensorFlow, `store` and `facts`.

    layer              `ReusableLayer`, for Keras 3
    loading            handles to loaded objects; loaded_function, traces: which of their functions to call, and how
    exact              a value as a tensor of a dtype, or a refusal
    shared_weights     Keras variables that share the loaded ones' storage

Read `layer.ReusableLayer` first.
"""
