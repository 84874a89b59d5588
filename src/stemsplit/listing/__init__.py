"""What commands print on stdout: tables for a terminal, plain lines or JSON for a script. A file a subject."""
