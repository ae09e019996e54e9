"""What holds of sample tables for any samples."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from segpipe.samples.sample import Sample, safe_name
from segpipe.samples.shards import Tables, read_table

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=8)
SAMPLES = st.lists(
    st.builds(
        Sample,
        image_id=st.text("abcXYZ-_.09ü/", min_size=1, max_size=8).map(safe_name),
        image=TEXT.filter(bool),
        masks=st.dictionaries(st.sampled_from(["lung", "heart"]), TEXT.filter(bool)),
        patient=st.text("0123456789abcdef", max_size=16),
        site=TEXT,
        fold=TEXT,
        invert=st.sampled_from(["", "true", "false"]),
        carried=st.fixed_dictionaries({"view": TEXT, "note, quoted": TEXT}),
        stamp=st.just("10-99"),
    ),
    max_size=12,
    unique_by=lambda sample: sample.image_id.casefold(),
)


def by_shard(samples, count):
    tables = Tables(["heart", "lung"], ["view", "note, quoted"])
    for sample in samples:
        tables.add(sample)
    tables.check_ids()
    return {shard: (rows, text) for shard, rows, text in tables.by_shard(count)}


@settings(max_examples=50, deadline=None)
@given(SAMPLES, st.sampled_from([1, 2, 4]))
def test_every_sample_comes_back_from_its_table_as_it_was(samples, count):
    found = []
    with TemporaryDirectory() as folder:
        for shard, (rows, text) in by_shard(samples, count).items():
            path = Path(folder) / f"{shard}.csv"
            path.write_text(text, encoding="utf-8", newline="")
            read = list(read_table(path))
            assert len(read) == rows
            assert [sample.image_id for sample in read] == sorted(sample.image_id for sample in read)
            found += read
    assert sorted(found, key=lambda sample: sample.image_id) == sorted(samples, key=lambda sample: sample.image_id)


@settings(max_examples=50, deadline=None)
@given(SAMPLES.flatmap(lambda samples: st.tuples(st.just(samples), st.permutations(samples))))
def test_the_order_in_which_files_are_listed_changes_no_table(orders):
    first, second = orders
    assert by_shard(first, 4) == by_shard(second, 4)


@settings(max_examples=50, deadline=None)
@given(SAMPLES)
def test_doubling_splits_each_shard_in_two(samples):
    few, many = by_shard(samples, 2), by_shard(samples, 4)
    for shard, (rows, text) in few.items():
        halves = [many[f"{number:04d}"] for number in (int(shard), int(shard) + 2) if f"{number:04d}" in many]
        assert sum(half[0] for half in halves) == rows
        assert len(text) >= max(len(half[1]) for half in halves)
