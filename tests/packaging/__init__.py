"""Test how a wheel is made."""
