"""A SavedModel with a signature and nothing else."""

import tensorflow as tf


class Doubler(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, "x")])
    def serve(self, x):
        return {"y": 2 * x}


module = Doubler()
tf.saved_model.save(module, "downloaded", signatures=module.serve)
