"""Faults of the machine and of the network, made for real: descriptors, memory, disks, clocks, packets, slow peers."""
