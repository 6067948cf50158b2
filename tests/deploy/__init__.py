"""Tests of what operators deploy."""
