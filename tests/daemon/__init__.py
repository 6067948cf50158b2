"""Tests of the daemon: its journal, its start and restart, and who may reach it."""
