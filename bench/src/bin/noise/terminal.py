"""Prints as fast as its terminal takes it."""
import sys, time

end = time.time() + SECONDS
print("noise-" "on MARK.", flush=True)
said = 0
while time.time() < end:
    said += sys.stdout.write("noise in the terminal " * 100 + "\n")
print(f"did print {said >> 20} MiB", flush=True)
