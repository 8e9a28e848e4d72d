"""What all networks are made of and trained with. Imports nothing else of the package."""
