"""Test the SDK."""
