"""Why TensorFlow does or does not use the GPU: facts, probes, one diagnosis with its cure."""
