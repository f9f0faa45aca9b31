"""A fork bomb that ends by itself: every process forks until its time is over."""
import os, time

first = os.getpid()
end = time.time() + SECONDS
print("noise-" "on MARK.", flush=True)
refused = made = 0
while time.time() < end:
    try:
        if os.fork():
            made += 1
    except OSError:
        refused += 1
if os.getpid() != first:
    os._exit(0)
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
    except OSError:
        continue
print(f"did fork {made} times and was refused {refused} times", flush=True)
