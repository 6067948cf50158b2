"""Tests of the command line, against real processes."""
