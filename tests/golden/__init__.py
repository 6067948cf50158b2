"""Journals and snapshots as earlier versions wrote them, which every later version must read."""
