"""What a report is made of: gathered, worded, and printed. ``migrationlab.report`` is its face."""
