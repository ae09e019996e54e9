"""What provenance.json and the crate say of a run, and what they must not say."""

import getpass
import json
import os
import shutil
import subprocess
import sys

import pydicom
import pytest

from segpipe.audit.provenance import file_hash, project_folder, read_provenance, write_provenance
from segpipe.config.load import LEFT_OUT, left_out, shareable
from segpipe.demo.files import make_phantoms
from segpipe.errors import InputError
from tests.unit import finished

CANARY = "PHICANARY"
SHARDS = ["0000", "0001"]
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5",
    "https://w3id.org/ro/wfrun/workflow/0.5",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0",
}


def phantoms_with_names(folder, *arguments, **options):
    make_phantoms(folder, *arguments, **options)
    for path in folder.glob("images/*.dcm"):
        try:
            dataset = pydicom.dcmread(path)
            dataset.PatientName = dataset.PatientID = dataset.InstitutionName = dataset.StationName = CANARY
            dataset.save_as(path)
        except Exception:  # one of the phantoms is broken on purpose
            continue


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finished, "make_phantoms", phantoms_with_names)
        return finished.make_run(tmp_path_factory.mktemp("provenance"))


@pytest.fixture
def results(config):
    results = config.folder
    (results / "benchmarks").mkdir(exist_ok=True)
    (results / "benchmarks/report.tsv").write_text("s\tmax_rss\tcpu_time\n10.5\t800.0\t20\n")
    return results


def test_it_names_no_patient_user_host_or_absolute_path(config, results):
    assert any(CANARY.encode() in path.read_bytes() for path in config.data.root.glob("images/*.dcm"))
    write_provenance(config, results, SHARDS)
    written = [results / "provenance.json", results / "ro-crate-metadata.json", *(results / "workflow").rglob("*.json")]
    assert len(written) == 3
    for path in written:
        text = path.read_text()
        for word in (CANARY, os.uname().nodename, str(results.parent.parent), str(project_folder()), "syn00"):
            assert word not in text, (path.name, word)
        if getpass.getuser() != "root":  # a word of its own in many texts
            assert getpass.getuser() not in text
    write_provenance(config, results, SHARDS, with_host=True)
    assert read_provenance(results)["may_differ"]["host"] == os.uname().nodename


def test_it_has_hashes_versions_devices_seeds_and_times(config, results):
    write_provenance(config, results, SHARDS)
    record = read_provenance(results)
    same, around = record["same"], record["may_differ"]
    assert same["inputs"]["rows"] == finished.IMAGES
    assert same["inputs"]["hashed"] == sum(shard["hashed"] for shard in same["inputs"]["shards"].values()) > 0
    assert same["masks"]["hashed"] > 0
    assert same["outputs"]["report.csv"] == file_hash(results / "report.csv")
    assert set(same["outputs"]) == {"report.csv", "report.parquet", "summary.json", "groups.csv"}
    assert same["weights"]["models/fold1"] == file_hash(results / "models/fold1/model.safetensors")
    assert same["seeds"] == {"run": 0, "models/fold0": 0, "models/fold1": 0}
    assert same["config"]["data"]["root"] == LEFT_OUT
    assert [engine.split()[0] for engine in around["devices"]["prediction"]] == ["torch"]
    assert {"python", "segpipe", "torch", "monai", "snakemake", "pydicom"} <= set(around["software"])
    assert around["times"] == [
        {"rule": "report", "jobs": 1, "seconds": 10.5, "cpu_seconds": 20.0, "memory_mb": 800.0}
    ]  # fmt: skip
    assert around["began"] < around["ended"]


def test_another_run_of_the_same_has_the_same_section_whatever_its_name_and_shards(config, results, tmp_path):
    other = tmp_path / "elsewhere"
    shutil.copytree(results, other / "again")
    moved = config.model_copy(update={"results": other, "name": "again"})
    write_provenance(config, results, SHARDS)
    write_provenance(moved, other / "again", SHARDS)
    assert read_provenance(other / "again")["same"] == read_provenance(results)["same"]
    assert read_provenance(other / "again")["may_differ"]["name"] == "again"


def test_of_a_run_without_a_table_it_says_which(config, results, tmp_path):
    shutil.copytree(results, tmp_path / "run")
    (tmp_path / "run/predictions/0001.parquet").unlink()
    with pytest.raises(InputError, match=r"predictions/0001\.parquet cannot be read"):
        write_provenance(config, tmp_path / "run", SHARDS)


def test_paths_that_name_a_place_are_left_out_and_can_be_listed():
    config = {"name": "a", "results": "/x", "seed": 1, "model": {"weights": ["/home/a", "models/b"], "init": "~/m"}}
    shown = shareable({**config, "uri": "sqlite:////home/a.db", "windows": r"C:\Users\a"})
    assert shown["model"] == {"weights": [LEFT_OUT, "models/b"], "init": LEFT_OUT}
    assert "name" not in shown
    assert left_out(shown) == ["model.weights", "model.init", "uri", "windows"]


def test_the_crate_is_a_workflow_run_crate(config, results):
    write_provenance(config, results, SHARDS)
    crate = json.loads((results / "ro-crate-metadata.json").read_text())
    assert crate["@context"][0] == "https://w3id.org/ro/crate/1.1/context"
    entities = {entity["@id"]: entity for entity in crate["@graph"]}
    assert len(entities) == len(crate["@graph"]), "an id stands for one thing"
    descriptor, root = entities["ro-crate-metadata.json"], entities["./"]
    assert descriptor["about"] == {"@id": "./"}
    assert {"@id": "https://w3id.org/ro/crate/1.1"} in descriptor["conformsTo"]
    assert {each["@id"] for each in root["conformsTo"]} == PROFILES
    assert all(root[name] for name in ("name", "description", "datePublished", "license", "hasPart"))
    workflow = entities[root["mainEntity"]["@id"]]
    assert set(workflow["@type"]) == {"File", "SoftwareSourceCode", "ComputationalWorkflow"}
    assert entities[workflow["programmingLanguage"]["@id"]]["version"]
    action = entities[root["mentions"][0]["@id"]]
    assert action["@type"] == "CreateAction"
    assert action["instrument"] == root["mainEntity"]
    assert action["startTime"] < action["endTime"]
    assert action["object"]
    assert {"@id": "report.csv"} in action["result"]


def test_the_same_run_gives_the_same_bytes_and_no_client_for_the_network_is_loaded_before(config, results):
    code = "import sys, segpipe.audit.provenance; assert not {'rocrate', 'requests'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    written = []
    for _ in range(2):
        write_provenance(config, results, SHARDS)
        written.append([(results / name).read_bytes() for name in ("provenance.json", "ro-crate-metadata.json")])
    assert written[0] == written[1]


def test_whatever_the_crate_names_is_described_and_has_the_hash_it_says(config, results):
    write_provenance(config, results, SHARDS)
    crate = json.loads((results / "ro-crate-metadata.json").read_text())
    entities = {entity["@id"]: entity for entity in crate["@graph"]}
    for entity in entities.values():
        for value in entity.values():
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, dict) and not each["@id"].startswith("http"):
                    assert each["@id"] in entities, (entity["@id"], each)
        if "File" in entity["@type"]:
            assert {"@id": entity["@id"]} in entities["./"]["hasPart"]
            assert entity["sha256"] == file_hash(results / entity["@id"]), entity["@id"]
