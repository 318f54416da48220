"""Load a backbone, cache its frozen layers, train the rest, explain predictions. Alone imports TensorFlow."""
