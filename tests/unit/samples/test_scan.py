import csv
import json
import os
import time
from collections import Counter
from pathlib import Path

import pytest

from segpipe.config.load import parse_config
from segpipe.errors import ConfigError, InputError
from segpipe.samples.sample import Sample
from segpipe.samples.scan import begin, hand_to_jobs, read_scan, scan, scan_of_job, scan_of_run, scan_without_files
from segpipe.samples.shards import Tables, read_table, shard_count, shard_hash, shard_name


@pytest.fixture
def archive(tmp_path):
    for patient in range(12):
        for view in ("pa", "lat"):
            for folder in ("images/north", "masks/north"):
                if folder.startswith("masks") and patient == 0:
                    continue
                path = tmp_path / folder / f"P{patient}_{view}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"x" * patient)
    return tmp_path


def by_patterns(archive, **data):
    wanted = {
        "root": archive,
        "images": "images/{site}/{patient}_{view}.png",
        "masks": {"lung": "masks/{site}/{patient}_{view}.png"},
        "shards": 4,
    }
    return parse_config({"results": archive / "results", "data": {**wanted, **data}})


def tables(config):
    found = read_scan(config)
    return {shard: (config.folder / found.table(shard)).read_text() for shard in found.shards}


def changed(config, **sections):
    values = config.model_dump(mode="json")
    return parse_config(values | {name: (values[name] or {}) | more for name, more in sections.items()})


def test_patterns_give_patient_site_and_carried_columns_and_keep_names_out(archive):
    config = by_patterns(archive)
    found = scan(config)
    assert found.images == 24
    samples = [sample for shard in found.shards for sample in read_table(config.folder / found.table(shard))]
    assert {sample.site for sample in samples} == {"north"}
    assert {sample.carried["view"] for sample in samples} == {"pa", "lat"}
    assert len({sample.patient for sample in samples}) == 12
    assert sum(not sample.masks for sample in samples) == 2
    shards = Counter()
    for shard, text in tables(config).items():
        for row in csv.DictReader(text.splitlines()):
            shards[row["patient"], shard] += 1
    assert set(shards.values()) == {2}, "both images of a patient share a shard"


def test_a_second_scan_writes_nothing(archive):
    config = by_patterns(archive)
    first = scan(config)
    before = {path: path.stat().st_mtime_ns for path in config.folder.rglob("*") if path.is_file()}
    assert scan(config) == first == read_scan(config)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_adding_changing_and_removing_an_image_touches_one_shard(archive):
    config = by_patterns(archive)
    first = scan(config).shards

    def changed(other):
        return [shard for shard in first if other.get(shard) != first[shard]]

    path = archive / "images/north/P3_pa.png"
    content = path.read_bytes()
    path.write_bytes(content + b"!")
    assert len(changed(scan(config).shards)) == 1
    path.write_bytes(content)
    os.utime(path, ns=(1, 1))
    assert len(changed(scan(config).shards)) == 1, "an older file of the same size is a change, too"
    (archive / "images/north/P99_pa.png").write_bytes(b"new")
    path.unlink()
    assert 1 <= len(changed(scan(config).shards)) <= 2


def test_a_title_changes_no_other_stage(archive):
    first = scan(by_patterns(archive)).stages
    config = parse_config({**by_patterns(archive).model_dump(), "report": {"title": "other"}})
    second = scan(config).stages
    assert [name for name in first if first[name] != second[name]] == ["report", "provenance"]


def test_a_sheet_may_have_quotes_newlines_and_further_columns(archive):
    sheet = archive / "samples.tsv"
    sheet.write_text(
        "image\tmask_lung\tpatient\tsite\tinvert\tcomment\n"
        "images/north/P1_pa.png\tmasks/north/P1_pa.png\tDoe\tnorth\tyes\t=1+1\n"
        'images/north/P2_pa.png\t\tRoe\tsouth\t\t"two\nlines"\n'
    )
    config = parse_config(
        {"results": archive / "r", "classes": {"lung": None}, "data": {"root": archive, "sheet": "samples.tsv"}}
    )
    found = scan(config)
    (shard,) = found.shards
    first, second = read_table(config.folder / found.table(shard))
    assert (first.masks, first.invert, first.site) == ({"lung": "masks/north/P1_pa.png"}, "true", "north")
    assert (second.masks, second.invert, second.carried["comment"]) == ({}, "", "two\nlines")
    assert "Doe" not in tables(config)[shard]


def test_what_is_wrong_with_the_set_is_said_before_anything_is_written(archive):
    (archive / "images/north/P1_pa.jpg").touch()
    cases = [
        (by_patterns(archive, images="pictures/{patient}.png", masks={"lung": "m/{patient}.png"}), "does not exist"),
        (
            by_patterns(archive, images="images/{patient}.bmp", masks={"lung": "m/{patient}.png"}),
            "none of the 25 files",
        ),
        (by_patterns(archive, masks={"lung": "m/{patient}.png"}), "none of the 24 images has a mask of the class lung"),
        (
            by_patterns(
                archive, images=["images/{s}/{p}.png", "images/{s}/{p}.jpg"], masks={"lung": "masks/{s}/{p}.png"}
            ),
            "P1_pa",
        ),
        (by_patterns(archive, root=archive / "nowhere"), "data.root"),
    ]
    for config, says in cases:
        with pytest.raises(InputError, match=says):
            scan(config)
    with pytest.raises(ConfigError, match=r"wildcard \{who\}"):
        scan(by_patterns(archive, masks={"lung": "masks/{who}.png"}))
    assert not (archive / "results").exists()


def test_a_class_whose_masks_are_nowhere_is_an_error_unless_missing_masks_are_empty(archive):
    masks = {"lung": "masks/{site}/{patient}_{view}.png", "heart": "hearts/{site}/{patient}_{view}.png"}
    wanted = by_patterns(archive, images="images/{site}/{patient}_{view}.png", masks=masks)
    with pytest.raises(InputError, match=r"has a mask of the class heart.*looked for hearts/"):
        scan(wanted)
    data = wanted.data.model_copy(update={"missing_mask": "empty"})
    assert scan(wanted.model_copy(update={"data": data})).images > 1


def test_a_sheet_without_the_needed_columns_is_refused(archive):
    (archive / "s.csv").write_text("picture\nx.png\n")
    config = {"results": archive / "r", "classes": {"lung": None}, "data": {"root": archive, "sheet": "s.csv"}}
    with pytest.raises(ConfigError, match="no column image"):
        scan(parse_config(config))
    (archive / "s.csv").write_text("image;mask\nx.png;m.png\n")
    with pytest.raises(ConfigError, match="separated by semicolons"):
        scan(parse_config(config))
    (archive / "s.csv").write_text("image,invert,mask\nx.png,perhaps,m.png\n")
    with pytest.raises(InputError, match="line 2: invert is 'perhaps'"):
        scan(parse_config(config))
    (archive / "s.csv").write_text("image,msk\nx.png,y.png\n")
    with pytest.raises(InputError, match=r"names no mask.*its columns are image, msk"):
        scan(parse_config(config))
    for path in ("/etc/x.png", "../x.png"):
        (archive / "s.csv").write_text(f"image,mask\n{path},m.png\n")
        with pytest.raises(InputError, match=r"line 2: 'x\.png' is given by an absolute path"):
            scan(parse_config(config))
    (archive / "s.csv").write_text("image\n")
    with pytest.raises(InputError, match="no rows"):
        scan(parse_config(config))


def test_shards_are_powers_of_two_and_split_when_they_double():
    assert [shard_count(n, "auto") for n in (1, 512, 513, 100_000)] == [1, 1, 2, 256]
    samples = [Sample(image_id=f"i{n}", image="", patient=f"p{n // 2}") for n in range(200)]
    for count in (4, 8):
        tables = Tables([], [])
        for sample in samples:
            tables.add(sample)
        made = {shard: (rows, text) for shard, rows, text in tables.by_shard(count)}
        assert list(made) == [f"{number:04d}" for number in range(count)]
        assert sum(rows for rows, _ in made.values()) == 200
        assert all(len(text.splitlines()) == rows + 1 for rows, text in made.values())
    for sample in samples:
        assert int(shard_name(shard_hash(sample), 8)) % 4 == int(shard_name(shard_hash(sample), 4))


def test_a_scan_is_plain_json(archive):
    config = by_patterns(archive)
    found = scan(config)
    index = json.loads((config.folder / found.file).read_text())
    assert index["images"] == 24
    assert set(index["stages"]) == {"preprocess", "dataset", "train", "predict", "score", "report", "provenance"}


@pytest.mark.parametrize(
    ("text", "problem"), [("{", "is damaged"), ('{"images": 24, "shards": {}, "stages": {}}', "of another version")]
)
def test_a_scan_that_is_cut_or_of_another_version_is_said_to_be_so(archive, text, problem):
    config = by_patterns(archive)
    found = scan(config)
    (config.folder / found.file).write_text(text)
    with pytest.raises(InputError, match=rf"scan-.*\.json.* {problem}.*`segpipe scan CONFIG` writes it again"):
        read_scan(config)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}


def test_planning_something_else_only_adds_files(archive):
    config = by_patterns(archive)
    found = scan(config)
    before = files_of(config.folder)
    other = changed(config, train={"learning_rate": 0.5}, data={"shards": 1}, score={"surface": False})
    assert scan(other) != found
    after = files_of(config.folder)
    assert before.items() <= after.items()
    assert read_scan(config) == found, "before the first run, each config has its own last plan"


def test_results_are_of_the_run_that_was_started_whatever_is_planned_since(archive, caplog):
    config = by_patterns(archive)
    found = scan(config)
    begin(config, found)
    other = changed(config, data={"shards": 1}, report={"title": "Another"})
    assert scan(other) != found
    assert scan_of_run(config.folder) == read_scan(config) == found
    assert "is not the one that" not in caplog.text
    assert read_scan(other) == found
    assert "is not the one that" in caplog.text
    begin(other, scan(other))
    assert scan_of_run(config.folder) == read_scan(other) != found


def test_an_older_plan_that_holds_again_is_the_last_one(archive):
    config, image = by_patterns(archive), archive / "images/north/P99_pa.png"
    first = scan(config)
    image.touch()
    time.sleep(0.05)  # the clock of a file system ticks in milliseconds
    assert scan(config) != first
    image.unlink()
    time.sleep(0.05)
    assert scan(config) == first == read_scan(config)


def test_a_job_keeps_the_scan_and_the_config_that_its_run_began_with(archive, monkeypatch):
    config = by_patterns(archive)
    monkeypatch.setattr("os.environ", dict(os.environ))
    found = scan(config)
    hand_to_jobs(config, found)
    edited = changed(config, train={"learning_rate": 0.5}, data={"shards": 1})
    scan(edited)
    assert scan_of_job(edited) == (config, found)


def test_a_config_that_was_changed_since_reads_the_last_scan_and_says_so(archive, caplog):
    config = by_patterns(archive)
    found = scan(config)
    assert read_scan(changed(config, report={"title": "Another"})) == found
    assert "is not the one that" in caplog.text


def test_without_its_archive_the_last_scan_is_known(archive):
    config = by_patterns(archive)
    assert scan_without_files(config)[0].images == 0
    found = scan(config)
    gone, why = scan_without_files(config)
    assert gone == found
    assert "does not exist" in why
    other, why = scan_without_files(changed(config, compare={"losses": ["dice", "bce"]}))
    assert (other.images, other.shards) == (0, {}), "another config's scan has other stages"
    assert "compare" in other.stages
    assert "No images are known" in why


def test_results_of_the_first_version_are_refused_in_a_sentence(archive):
    config = by_patterns(archive)
    (config.folder / "samples").mkdir(parents=True)
    (config.folder / "samples/index.json").write_text("{}")
    with pytest.raises(InputError, match=r"segpipe 0\.1\.0.* give this run another name"):
        scan(config)
