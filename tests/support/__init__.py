"""What the tests share: peers that may be missing, ports, processes, raw sockets."""
