"""The pose backend ``turntable``: a program that is called with the path of a request and writes an answer."""

from __future__ import annotations

import sys
from pathlib import Path

from resources.external_poses import CommandPoses

SOURCE = CommandPoses(name="turntable", argv=[sys.executable, str(Path(__file__).with_name("turntable_program.py"))])
