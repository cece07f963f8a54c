"""Stands before libvirt's binding where a test wants a machine that has none."""

raise ModuleNotFoundError("No module named 'libvirt'", name="libvirt")
