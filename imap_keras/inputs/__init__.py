"""What checks and reads what the user hands in. Imports nothing else of the package."""
