"""Offhook: a hub between a CRM, any voice platform and a sales floor. ARCHITECTURE.md shows the house."""
