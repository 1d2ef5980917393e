"""The published language: one class per event type, with what it means and an example of its data."""
