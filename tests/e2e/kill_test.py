# SPDX-License-Identifier: Apache-2.0
"""The kill soak with a small count; in full: ./dev soak kill --count 200."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "soak"))
import kill  # noqa: E402


class Kill(unittest.TestCase):
    def test_kill_the_centre(self):
        result = kill.soak(15, seed=20261124)
        self.assertEqual(result["faults"], [])
        self.assertGreater(result["jobs"], 30, "too little load to prove anything")


if __name__ == "__main__":
    unittest.main()
