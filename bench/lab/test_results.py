"""How turns become a judgement."""

import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lab import results  # noqa: E402
from lab.results import Results, judgement, spread  # noqa: E402
from lab.rows import ROWS, Must, cpu_per_gigabyte, cpu_per_message, number  # noqa: E402


def turns(**values):
    """Turns of the row `r` under the load `l`, one for each value."""
    each = [(name, at, value) for name, given in values.items() for at, value in enumerate(given)]
    return [{"row": "r", "load": "l", "target": name, "round": at, "x": value} for name, at, value in each]


class Judging(unittest.TestCase):
    def test_ratios_are_taken_within_a_round(self):
        # The machine was half as fast in the second round, for both.
        measured = Results(turns(ours=[1.0, 2.0, 1.2], beside=[1.0, 2.0, 1.0]))
        must = Must("", "l", "ours", "beside", number("x"), at_most=1.1)
        self.assertEqual(measured.judged(must)[1], 1.0)
        self.assertEqual(judgement(must, measured)[1], True)

    def test_a_must_may_be_a_most_or_a_least(self):
        measured = Results(turns(ours=[0.8], beside=[1.0]))
        for bound, holds in [({"at_most": 0.8}, True), ({"at_most": 0.79}, False), ({"at_least": 0.8}, True), ({"at_least": 0.9}, False)]:
            must = Must("", "l", "ours", "beside", number("x"), **bound)
            self.assertEqual(judgement(must, measured)[1], holds, bound)

    def test_what_was_not_measured_holds_nothing(self):
        measured = Results(turns(ours=[1.0]))
        for must in [Must("", "l", "ours", "beside", number("x"), at_most=9), Must("", "other", "ours", None, number("x"), at_most=9)]:
            self.assertIsNone(judgement(must, measured)[1])

    def test_a_round_in_which_one_is_missing_does_not_count(self):
        measured = Results(turns(ours=[1.0, 9.0], beside=[1.0]))
        self.assertEqual(measured.judged(Must("", "l", "ours", "beside", number("x"), at_most=1)), (1.0, 1.0, 1.0))

    def test_quartiles_surround_the_median(self):
        self.assertEqual(spread([1, 2, 3, 4, 5]), (2, 3, 4))
        self.assertEqual(spread([7]), (7, 7, 7))
        self.assertIsNone(spread([]))

    def test_figures_are_what_they_say(self):
        turn = {"relay_seconds": 0.5, "frames": 1_000_000, "bytes": 64_000_000, "seconds": 2}
        self.assertAlmostEqual(cpu_per_message(turn), 0.5)
        self.assertAlmostEqual(cpu_per_gigabyte(turn), 7.8125)


class Keeping(unittest.TestCase):
    def test_a_row_that_is_measured_again_is_replaced(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "results.jsonl"
            for row, value in [("a", 1), ("b", 2), ("a", 3)]:
                results.keep(row, [{"value": value}], {"commit": "c"}, file)
            kept = {turn["row"]: turn["value"] for turn in results.load(file)}
            self.assertEqual(kept, {"a": 3, "b": 2})
            self.assertEqual(len(results.load(file)), 2)


class Table(unittest.TestCase):
    def test_each_must_names_what_its_row_measures(self):
        for row in ROWS:
            for must in row.musts if row.loads else []:
                relays = next(load.relays for load in row.loads if load.name == must.load)
                self.assertIn(must.ours, relays)
                self.assertIn(must.beside, [*relays, None])

    def test_bounds_are_written_as_in_the_table(self):
        bounds = [must.bound() for row in ROWS for must in row.musts]
        for bound in ["≤ 2×", "≤ 1/90×", "≤ 1.1×", "≥ 0.9×", "≤ 256", "≥ 1.4"]:
            self.assertIn(bound, bounds)


if __name__ == "__main__":
    unittest.main()
