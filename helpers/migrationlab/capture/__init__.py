"""What is seen of a migration: events, job statistics, beats, bytes; and the timeline of them."""
