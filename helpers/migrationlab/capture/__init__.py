"""Record a migration while it runs.

Owns the instruments: events, job statistics, processes, TCP connections, bytes on the wire,
pings, clocks and the daemons' logs. What the records mean is worked out in ``analysis``.
"""
