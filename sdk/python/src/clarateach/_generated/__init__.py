"""Made by generate.sh from the schema: never edited, no part of the interface."""
