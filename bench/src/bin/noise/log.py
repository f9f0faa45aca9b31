"""Writes to the machine's own log: what its first process prints goes there."""
import subprocess

print("noise-" "on MARK.", flush=True)
flood = (
    "import os,time\n"
    "end=time.time()+SECONDS; n=0\n"
    "log=os.open('/proc/1/fd/1',os.O_WRONLY)\n"
    "while time.time()<end: n+=os.write(log,b'noise in the log '*240)\n"
    "print(f'did log {n >> 20} MiB',flush=True)"
)
subprocess.run(["sudo", "-n", "python3", "-c", flood])
