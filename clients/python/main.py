"""python.py URL KEY-FILE: every check of Google's library, over REST and over gRPC. Run by clients/python."""
import sys

from python_registry import run_checks
from python_world import Server, World

# Each of them remembers its checks.
import python_discovery
import python_files
import python_images
import python_packages
import python_repositories
import python_rules
import python_tags

server = Server(*sys.argv[1:])
passed = [run_checks(f"{transport}: ", World(server, transport)) for transport in ("rest", "grpc")]
sys.exit(0 if all(passed) else 1)
