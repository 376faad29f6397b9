"""`python -m prompt_api.cli`: the same as `samcache`."""

import sys

from prompt_api.cli.main import main

sys.exit(main())
