"""`python -m samcache`: the same as the command `samcache`."""

import sys

from samcache.cli.main import main

sys.exit(main())
