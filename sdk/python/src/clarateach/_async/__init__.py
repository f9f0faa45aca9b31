"""The asyncio layer. The threaded one is made of it by generate.sh."""
