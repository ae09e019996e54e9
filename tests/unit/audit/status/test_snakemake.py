import socket
from base64 import urlsafe_b64encode

from segpipe.audit.status.snakemake import log_of_run, newest_log, read_locks, read_marks, slurm_logs, tail
from tests.unit.audit.status.conftest import RUN


def test_marks_tell_the_output_and_the_job_in_slurm(run):
    run.mark("results/tiny/summary.txt")
    run.mark("results/tiny/shards/0000/images.npy", "12_3")
    assert read_marks() == {"results/tiny/summary.txt": None, "results/tiny/shards/0000/images.npy": "12_3"}


def test_long_names_are_put_together_and_odd_files_left_out(run):
    output = "results/" + "a" * 200 + "/x.npy"
    name = urlsafe_b64encode(output.encode()).decode()
    run.write(f".snakemake/incomplete/@{name[:254]}/{name[254:]}", '{"external_jobid": 7}')
    run.write(".snakemake/incomplete/migration_underway")
    assert read_marks() == {output: "7"}


def test_a_mark_that_is_being_written_counts_without_an_id(run):
    run.mark("results/tiny/report.csv", "5")
    path = next((run.path / ".snakemake/incomplete").iterdir())
    for text in ("", '{"external_', "[]"):
        path.write_text(text)
        assert read_marks() == {"results/tiny/report.csv": None}


def test_without_a_snakemake_there_is_nothing(run):
    assert (read_marks(), read_locks(), newest_log(), slurm_logs()) == ({}, set(), None, {})


def test_locks_name_outputs(run):
    run.lock("results/tiny/report.csv", "results/tiny/summary.json")
    run.write(".snakemake/locks/0.input.lock", "data/a.png\n")
    assert read_locks() == {"results/tiny/report.csv", "results/tiny/summary.json"}


def test_the_newest_log_tells_host_run_and_steps(run):
    path = run.log()
    run.write(".snakemake/log/2025-01-01T000000.000000.snakemake.log", "  Host: old\n")
    found = newest_log()
    assert (run.path / found.path, found.host, found.run, found.steps) == (path, socket.gethostname(), RUN, "1 of 12")
    assert log_of_run(RUN) == found
    assert log_of_run("other") is None


def test_slurms_log_is_found_by_the_jobs_own_log_wherever_it_lies(run):
    text = "rule preprocess:\n    input: a\n    log: results/tiny/logs/preprocess/{}.log\n    jobid: 0\n"
    run.write(".snakemake/slurm_logs/rule_preprocess/0000/100.log", text.format("0000"))
    run.write(".snakemake/slurm_logs/rule_preprocess/101_2.log", text.format("0001"))
    call = "Shell command: segpipe score --output x --log results/tiny/logs/score/0000.log\n"
    run.write(".snakemake/slurm_logs/group_g/102.log", call)
    assert {log: path.name for log, path in slurm_logs().items()} == {
        "results/tiny/logs/preprocess/0000.log": "100.log",
        "results/tiny/logs/preprocess/0001.log": "101_2.log",
        "results/tiny/logs/score/0000.log": "102.log",
    }


def test_the_end_of_a_long_file_begins_with_a_whole_line(tmp_path):
    path = tmp_path / "log"
    path.write_text("".join(f"line {number}\n" for number in range(1000)))
    assert tail(path, 25) == "line 998\nline 999\n"
    assert tail(tmp_path / "missing") == ""
