"""The interfaces of other libraries over this one, for applications that move: only their import lines change."""
