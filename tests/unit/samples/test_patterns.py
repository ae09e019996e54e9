import os

import pytest

from segpipe.errors import ConfigError, InputError
from segpipe.samples.patterns import constant_folder, fill, list_files, pattern_regex, wildcard_names


def test_a_wildcard_matches_within_one_folder_level():
    regex = pattern_regex("archive/{site}/{patient}_{view}.png")
    assert regex.fullmatch("archive/a/7_pa.png").groupdict() == {"site": "a", "patient": "7", "view": "pa"}
    assert regex.fullmatch("archive/a/b/7_pa.png") is None
    assert regex.fullmatch("archive/a/7_pa_png") is None


def test_constraints_and_repeated_wildcards_work_as_in_snakemake():
    regex = pattern_regex(r"{patient,\d{4}}/{patient}-{rest}.dcm")
    assert regex.fullmatch("0012/0012-x.dcm")["rest"] == "x"
    assert regex.fullmatch("0012/0013-x.dcm") is None
    assert regex.fullmatch("12/12-x.dcm") is None
    assert wildcard_names(r"{patient,\d{4}}/{patient}-{rest}.dcm") == ["patient", "rest"]


def test_filling_a_pattern_gives_the_path_back():
    pattern = r"m/{a}/{b,\d+}.gif"
    assert fill(pattern, {"a": "x", "b": "3"}) == "m/x/3.gif"


@pytest.mark.parametrize("pattern", ["a{b.png", "a}b.png", "{1x}.png", "{a,(}.png"])
def test_a_pattern_that_means_nothing_is_a_config_error(pattern):
    with pytest.raises(ConfigError, match="Pattern"):
        pattern_regex(pattern)


def test_listing_passes_over_hidden_files_and_starts_at_the_constant_folder(tmp_path):
    for name in ("a/b/1.png", "a/.hidden.png", "a/2.png", "c/3.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert constant_folder("a/{x}.png") == "a/"
    assert constant_folder("{x}.png") == ""
    assert sorted(list_files(tmp_path, "a/")) == ["a/2.png", "a/b/1.png"]
    assert len(list(list_files(tmp_path, ""))) == 3
    assert list(list_files(tmp_path, "missing/")) == []


def test_links_that_lead_back_and_results_are_passed_over(tmp_path):
    for name in ("data/1.png", "results/run/overview.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "data/up").symlink_to(tmp_path)
    assert sorted(list_files(tmp_path, "", tmp_path / "results")) == ["data/1.png"]


def test_a_link_to_itself_hides_no_other_file(tmp_path):
    (tmp_path / "a.png").symlink_to("a.png")
    for name in ("b.png", "c.png"):
        (tmp_path / name).touch()
    assert sorted(list_files(tmp_path, "")) == ["a.png", "b.png", "c.png"]


def test_a_name_that_is_no_utf8_is_said_to_be_so(tmp_path):
    (tmp_path / os.fsdecode(b"M\xfcller.png")).touch()
    with pytest.raises(InputError, match=r"M\\xfcller\.png' is not UTF-8"):
        list(list_files(tmp_path, ""))
