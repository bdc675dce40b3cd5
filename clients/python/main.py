"""main.py URL KEY-FILE: every check of Google's library, over REST and over gRPC. Run by clients/python/run."""
import sys

from checks import run_checks
from world import Server, World

# Importing these modules registers their checks.
import discovery
import files
import images
import packages
import repositories
import rules
import tags

server = Server(*sys.argv[1:])
passed = [run_checks(f"{transport}: ", World(server, transport)) for transport in ("rest", "grpc")]
sys.exit(0 if all(passed) else 1)
