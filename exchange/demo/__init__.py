"""Repeat Smith's market experiments over a running exchange.

``smith`` holds the induced values and costs and measures what traders made of them, ``strategies``
the traders, ``report`` what a run is told by. All three are pure: the runner does the talking.
"""
