"""Hostile input: what broke other WebSocket libraries, with the bytes that did, against this one in both roles."""
