"""Decide by name how a migration is driven: the policies of cloud platforms, and one's own.

A policy is a state machine without a clock, a thread or libvirt: ``policy`` says how it is told
what happens, ``driver`` tells it, ``catalog`` knows them all by name. Each family has one file.
"""
