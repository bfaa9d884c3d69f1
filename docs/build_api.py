"""Builds the API pages of egress.interfaces, model, errors and testing: `python docs/build_api.py [OPTION...]`.

The options are pydoctor's, and its settings are in pyproject.toml. A broken reference in a docstring is an error.
"""

import re
import sys

from pydoctor.driver import main
from pydoctor.extensions import zopeinterface

# pydoctor does not read Twisted's source, and would not know that a class that extends IPlugin is an interface.
zopeinterface.interface_prog = re.compile(
    rf"{zopeinterface.interface_prog.pattern}|twisted\.(plugin|internet\.interfaces)\.I[A-Z]\w*$"
)

if __name__ == "__main__":
    sys.exit(main(["--quiet", *sys.argv[1:]]))
