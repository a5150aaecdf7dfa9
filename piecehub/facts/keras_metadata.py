"""The file in which tf_keras describes the layers of a model that it saved, for its own loader only."""

FILE = "keras_metadata.pb"
