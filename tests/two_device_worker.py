"""The real worker on a machine whose CPU is two logical devices: a stand-in for two GPUs."""

from __future__ import annotations

import os
import sys

import tensorflow as tf

from bench.worker.__main__ import main

processor = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
code = main()
sys.stdout.flush()
os._exit(code)
