"""The lab: two real hypervisor hosts on this machine, a wire between them, and guests."""
