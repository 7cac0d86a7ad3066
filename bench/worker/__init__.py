"""The rooms that import TensorFlow; each runs in a process of its own and nothing imports them."""
