"""``python -m cinderlib.demo``"""

import sys

from cinderlib.demo import main

sys.exit(main())
