"""Record a migration while it runs.

Owns the instruments: events, job statistics, processes, TCP connections, bytes on the wire,
pings, clocks and the hosts' logs. ``recorder`` puts them together. ``analysis`` interprets the
records.
"""
