"""Measures this installation on this machine, end to end, with real server processes and a receiver of its own.

    load generator ──HTTP──▶ up, or api + worker ──▶ PostgreSQL
                                   └──webhooks──▶ receiver

Everything that a customer's data would meet is on: fsync, synchronous commit, row-level security, sealing, gap-free
sequences, signatures, and a row for every try. Load and receiver share the machine with what they measure and are as
cheap as Python allows. Nothing is dialed: the campaign may have no call out, so the figures are those of the lanes.
"""
