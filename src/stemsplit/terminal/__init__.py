"""What people and scripts read: messages, tables, progress, JSON; one file a subject."""
