"""Tests of the comparison itself: python corpora_test.py."""

import datetime
import unittest
from decimal import Decimal

import pyarrow as pa

from arrow_values import differences
from oracles import disputed
from refusals import is_clear

UTC = pa.timestamp("us", "UTC")
LOCAL = pa.timestamp("us")
NOON = datetime.datetime(2024, 1, 2, 12)


class Refusals(unittest.TestCase):
    def test_a_clear_refusal_names_a_thing_and_an_advice(self):
        for said in [
            "file.arrow: column `f1`: a date of 64 bits is no whole day: write the column as timestamps",
            "the file `file.arrow`: two columns are called `ints`: write one of them under another name",
            "file.parquet: the file is encrypted, which is not supported: write it without encryption",
            "file.csv: line 7: a row has 3 fields, and the header has 2: correct the line",
            "file.arrow: the file is Feather version 1, which is not supported: write it as Feather version 2",
        ]:
            self.assertTrue(is_clear(said, None), said)

    def test_an_unclear_refusal_lacks_one_of_them(self):
        for said in [
            "file.parquet: the type is not supported",
            "file.parquet: unsupported version",
            "a value is beyond the range",
            "a page has more than 5 values",
            "it is too large: write it again",
            "column `a`: a value is too large",
            "no message",
        ]:
            self.assertFalse(is_clear(said, None), said)

    def test_only_a_damaged_file_is_damaged(self):
        said = "file.parquet: column `a`: malformed data: a page of the file is damaged: write it again"
        self.assertTrue(is_clear(said, False))
        for alike in [None, True, set()]:
            self.assertFalse(is_clear(said, alike))
        self.assertTrue(is_clear("column `a`: the checksum of a page is wrong, and so the file is damaged", True))


class Values(unittest.TestCase):
    def found(self, column, text, names=("a",), said="", disputed_columns=frozenset()):
        return differences(pa.table({"a": column}), text, said, list(names), disputed_columns)

    def test_a_moment_with_and_without_a_zone_differ(self):
        for kind, right, wrong in [(UTC, "2024-01-02T12:00:00Z", "2024-01-02T12:00:00")] + [
            (LOCAL, "2024-01-02T12:00:00", "2024-01-02T12:00:00Z")
        ]:
            self.assertIsNone(self.found(pa.array([NOON], kind), f'{{"a":"{right}"}}\n'))
            self.assertIn("became", self.found(pa.array([NOON], kind), f'{{"a":"{wrong}"}}\n'))

    def test_a_wrong_value_that_python_can_not_show_is_wrong(self):
        far = pa.array([2**62], LOCAL)
        for column in [far, pa.StructArray.from_arrays([far], ["at"])]:
            self.assertIn("became", self.found(column, '{"a":"2024-01-02T12:00:00"}\n'))

    def test_a_table_without_rows_has_its_columns(self):
        empty = pa.array([], pa.int64())
        self.assertIsNone(self.found(empty, ""))
        self.assertIn("'a'", self.found(empty, "", names=["b"]))
        self.assertIn("missing", self.found(empty, "", names=[]))
        self.assertIsNone(self.found(empty, "", names=[], said="column `a` is not offered"))
        self.assertIn("'b'", self.found(empty, "", names=["a", "b"]))

    def test_a_disputed_column_is_not_compared(self):
        self.assertIn("became", self.found(pa.array([1]), '{"a":2}\n'))
        self.assertIsNone(self.found(pa.array([1]), '{"a":2}\n', disputed_columns={"a"}))


class Oracles(unittest.TestCase):
    def disputes(self, ours, theirs):
        return disputed(pa.table({"a": ours}), pa.table({"a": theirs}))

    def test_values_decide_and_not_only_the_number_of_rows(self):
        self.assertEqual(self.disputes(pa.array([1, 2]), pa.array([1, 3])), {"a"})
        self.assertEqual(self.disputes(pa.array([1, 2], pa.int8()), pa.array([1, 2])), set())
        self.assertEqual(self.disputes(pa.array([1, None]), pa.array([1, 2])), {"a"})
        self.assertIsNone(self.disputes(pa.array([1]), pa.array([1, 1])))
        nan = [float("nan"), 1.0, None]
        self.assertEqual(self.disputes(pa.array(nan), pa.array(nan)), set())
        self.assertEqual(self.disputes(pa.array([nan]), pa.array([nan])), set())
        self.assertEqual(self.disputes(pa.array(["a"]), pa.array(["b"])), {"a"})
        texts = pa.array(["a", None]).dictionary_encode()
        self.assertEqual(self.disputes(texts, pa.array(["a", None])), set())

    def test_times_are_compared_as_finely_as_both_readers_have_them(self):
        nanos = pa.array([1, -1, 1_000, None], pa.timestamp("ns"))
        self.assertEqual(self.disputes(nanos, pa.array([0, -1, 1, None], LOCAL)), set())
        self.assertEqual(self.disputes(nanos, pa.array([0, -1, 2, None], LOCAL)), {"a"})
        self.assertEqual(self.disputes(pa.array([NOON], UTC), pa.array([NOON], LOCAL)), {"a"})

    def test_a_type_that_can_not_hold_the_values_disputes_nothing(self):
        self.assertEqual(self.disputes(pa.array([Decimal("1.1")]), pa.array([1.1])), set())


if __name__ == "__main__":
    unittest.main()
