"""Fills the disk, syncs and empties it, again and again."""
import os, time

end = time.time() + SECONDS
print("noise-" "on MARK.", flush=True)
piece, written, full = os.urandom(1 << 20), 0, 0
while time.time() < end:
    with open("/tmp/noise.fill", "wb", buffering=0) as file:
        try:
            while time.time() < end:
                written += file.write(piece)
                if written >> 20 & 63 == 0:
                    os.fsync(file.fileno())
        except OSError:
            full += 1
    os.remove("/tmp/noise.fill")
print(f"did write {written >> 20} MiB and was full {full} times", flush=True)
