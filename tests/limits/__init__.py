"""Every limit of SECURITY.md: at it all is well, one past it comes what is documented, and the error names it."""
