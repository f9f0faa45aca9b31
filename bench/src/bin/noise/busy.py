"""As many loops as there are processors, twice over."""
import os, time

end = time.time() + SECONDS
print("noise-" "on MARK.", flush=True)
children = [pid for pid in (os.fork() for _ in range(2 * os.cpu_count() - 1)) if pid]
while time.time() < end:
    pass
if len(children) == 2 * os.cpu_count() - 1:
    print("did burn", flush=True)
    time.sleep(0.5)
