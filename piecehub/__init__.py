"""Publishing reusable pieces of trained TensorFlow models: the work itself, without TFX."""
