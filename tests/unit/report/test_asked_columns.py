import subprocess
import sys

import pytest

from segpipe.config.load import parse_config
from segpipe.config.stages import stage_configs
from segpipe.errors import ConfigError
from segpipe.report.columns import check_groups

CONFIG = {"data": {"images": "{image_id}.png", "masks": {"lung": "m/{image_id}.png"}}}


def check(by, carried=("finding", "age")):
    stages = stage_configs(parse_config({**CONFIG, "report": {"by": by}}), list(carried))
    check_groups(stages["report"])


def test_columns_of_the_report_and_of_the_sheet_are_known_also_in_pairs():
    check(["fold", "site", "finding", "inverted+age", "recall_lung", "carried:site"], ("finding", "age", "site"))


@pytest.mark.parametrize("by", ["findings", "fold+findings"])
def test_another_name_is_an_error_with_those_that_are_spelt_alike(by):
    with pytest.raises(ConfigError, match="no column 'findings'; do you mean finding"):
        check(["fold", by])


def test_a_name_like_no_other_is_an_error_that_says_where_names_stand():
    with pytest.raises(ConfigError, match=r"no column 'xyz'\. It has those of docs/report-columns\.md"):
        check(["xyz"])


def test_the_look_up_does_not_wait_for_pandas():
    """It is made whenever the workflow is parsed."""
    code = "import sys, segpipe.report.columns; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
