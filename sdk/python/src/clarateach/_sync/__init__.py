# Made by generate.sh from _async/__init__.py: edit that one.
"""The asyncio layer. The threaded one is made of it by generate.sh."""
