"""Test the market experiments of ``exchange demo``."""
