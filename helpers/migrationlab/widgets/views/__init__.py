"""What the widgets show, as HTML and SVG, and the facts behind it: records in, text out.

``template`` fills the templates of ``widgets/templates``, which escape every value. Each other
module owns one subject: messages, tables of runs, a failed attempt, URIs, two hosts of one's own,
a topology, the progress of a migration.
"""
