"""What a child process may do, enforced by the kernel; and attacks that try to break it.

This package does not depend on jobs. The process confines itself before it imports the engine or reads a byte of an
upload. From then on, no code in the process can loosen the rules.
"""
