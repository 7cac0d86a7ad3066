"""A pytest plugin that times Keras models as ordinary results of pytest-benchmark: `pytest --bench-model mine.py`."""
