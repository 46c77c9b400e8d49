"""`python -m showtell` is `showtell`; `accelerate launch -m showtell train` is training on several devices."""

import sys

from showtell.cli import main

sys.exit(main())
