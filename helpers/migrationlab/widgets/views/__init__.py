"""Make the HTML and SVG of the widgets, and the facts behind it: records in, text out.

``template`` fills the templates of ``widgets/templates``, which escape every value. Each other
module owns one subject: messages, tables of runs, a failed attempt, URIs, the user's own two hosts,
a topology, the progress of a migration.
"""
