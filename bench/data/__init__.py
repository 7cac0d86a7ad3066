"""Data sets as NumPy arrays: uint8 images, int32 labels.

`loading.load` reads one by name, `sources` lists those that have a name, `fetching.ensure` downloads what is missing.
"""
