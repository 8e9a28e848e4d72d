"""The command ``imap-keras``: from files to integrated files and a report."""
