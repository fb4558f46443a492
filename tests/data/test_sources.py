"""Which texts come from one source: by ids, parents and pairs of files and records."""

from __future__ import annotations

import pytest

from probate.data.shape.sources import SourceColumns, Ties, sources_of


def alike(original: list[Ties], augmented: list[Ties] | None = None) -> list[set[int]]:
    """The sources as sets of rows, those of the second file counted on."""
    first, second = sources_of(original, augmented or [])
    groups: dict[int, set[int]] = {}
    for row, source in enumerate([*first, *second]):
        groups.setdefault(source, set()).add(row)
    return sorted(groups.values(), key=min)


def test_a_parent_is_an_id_of_the_original():
    assert alike(
        [Ties("7"), Ties("8")], [Ties("7", ("8",)), Ties("1", ("8",)), Ties("2", ("9",)), Ties("3", ("9",))]
    ) == [
        {0},
        {1, 2, 3},
        {4, 5},
    ]


def test_an_own_id_is_not_taken_for_a_parents():
    assert alike([Ties("1", ("2",)), Ties("2", ("3",))], [Ties("x", ("2",))]) == [{0, 2}, {1}]


def test_numbers_are_no_common_ids_and_names_are():
    assert alike([Ties("1"), Ties("nurse-1")], [Ties("1"), Ties("nurse-1")]) == [{0}, {1, 3}, {2}]


def test_pairs_join_rows_of_one_file_only():
    assert alike([Ties(joined=("a",)), Ties(joined=("a",))], [Ties(joined=("a",)), Ties()]) == [
        {0, 1},
        {2},
        {3},
    ]


def test_rows_are_joined_over_others_and_ids_up_to_the_item():
    assert alike(
        [Ties("x", joined=("p",)), Ties("y", joined=("p",)), Ties("z")],
        [Ties(parents=("y",)), Ties(parents=("z", "x"))],
    ) == [{0, 1, 2, 3, 4}]
    assert alike([Ties("q1#0"), Ties("q1#1"), Ties("q2#0")]) == [{0, 1}, {2}]


@pytest.mark.parametrize("column", ["parent", "Parent ID", "meta.parent_id", "source_id"])
def test_columns_are_found_by_their_names(column):
    head, _, tail = column.rpartition(".")
    row = {head: {tail: 7}} if head else {column: 7}
    columns = SourceColumns([{"id": "a", "pair": "p", **row}], "id")
    assert columns.ties({"id": "a", "pair": None, **row}) == Ties("a", ("7",), ())
    assert columns.describe() == f"'{column}' and 'pair'"


def test_a_column_of_few_values_holds_no_ids():
    rows = [{"parent": "yes" if i % 3 else "no", "pair": i // 2, "cluster": i % 10} for i in range(200)]
    assert (
        SourceColumns(rows).describe() == "'pair' and 'cluster'"
        and SourceColumns(rows, None, "parent").describe() == "'parent'"
    )


def test_a_named_column_is_the_only_one():
    columns = SourceColumns([{"pair": "p", "seed": "s"}], None, "seed")
    assert (
        columns.ties({"pair": "p", "seed": "s"}) == Ties("", ("s",), ())
        and SourceColumns([{}], None, "seed").describe() == ""
    )
