"""The seven corpora: where they come from, how they are read, split and stored, and their generated stand-ins."""
