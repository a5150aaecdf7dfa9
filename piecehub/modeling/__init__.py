"""Models: train one, cut its piece out, export the piece, check it. The only room with TensorFlow and Keras."""
