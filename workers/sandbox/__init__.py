"""What a child process may do, enforced by the kernel; and attacks that try to break it.

Nothing here knows of jobs. The process confines itself, before it imports the engine or reads a byte of an upload;
from then on nothing that runs in it can loosen the rules.
"""
