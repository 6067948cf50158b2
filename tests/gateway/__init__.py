"""Tests of what stands between the bus and the engine, without any I/O."""
