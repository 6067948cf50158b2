"""Tests that kill the venue under load and prove that nothing was lost or done twice."""
