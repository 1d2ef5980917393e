"""Kills everything at random moments, and counts what was lost from what the *others* wrote down.

Three outsiders keep journals of their own, each a process of its own, each line on the disk before it is acted upon:
the client (which leads were answered 2xx), the pretend platform (which calls were placed), the receiver (which events
were told). API, worker and PostgreSQL are killed with SIGKILL and started again. Nothing is counted from our tables.
"""
