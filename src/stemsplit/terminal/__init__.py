"""Writes what people and scripts read: messages, tables, progress, JSON; one file for each subject."""
