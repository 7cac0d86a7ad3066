"""Model files: one architecture each, with `build(input_shape, num_classes) -> keras.Model`; drop yours beside them."""
