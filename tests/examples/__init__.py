"""Run the examples."""
