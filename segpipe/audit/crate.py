"""A run as an RO-Crate 1.1 of the profile Workflow Run Crate 0.5 (https://w3id.org/ro/wfrun/workflow/0.5).

The JSON-LD is written here, because the format is a list of small dictionaries, and a library for it would bring its
own client for the network. It says what provenance.json says, in words that other tools know.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from segpipe.audit.provenance import file_hash
from segpipe.models.card import WEIGHTS

CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
_SNAKEMAKE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
_SNAKEFILE = "workflow/Snakefile"
_KINDS = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".png": "image/png",
    ".html": "text/html",
    ".smk": "text/plain",
}
_LICENCE = "not stated: it is for whoever publishes these results to say"
Entity = dict[str, Any]


def crate(record: dict[str, Any], results: Path, files: Sequence[str]) -> Entity:
    """The content of ro-crate-metadata.json; ``record`` is provenance.json's, ``files`` are more parts of the crate."""
    same, around = record["same"], record["may_differ"]
    parts = [_file(name, file_hash(results / name)) for name in files if name != _SNAKEFILE]
    outputs = [*_outputs(same, around), *_weights(same), *_masks(same, results)]
    workflow = _workflow(record, results, parts) if _SNAKEFILE in files else []
    software = [_software(name, version) for name, version in around["software"].items()]
    inputs = _collection("#inputs", "Images and reference masks, as they were read", same["inputs"])
    action = _action(record, [*outputs], bool(workflow))
    graph = [
        *_root(record, [*workflow[:1], *parts, *outputs]),
        *workflow,
        *parts,
        *outputs,
        *inputs,
        *software,
        *action,
    ]
    return {"@context": CONTEXT, "@graph": graph}


def _root(record: dict[str, Any], parts: Sequence[Entity]) -> Iterator[Entity]:
    around = record["may_differ"]
    profiles = list(PROFILES)
    yield {
        "@id": "ro-crate-metadata.json",
        "@type": "CreativeWork",
        "about": _to("./"),
        "conformsTo": [_to("https://w3id.org/ro/crate/1.1"), _to(profiles[2])],
    }
    yield {
        "@id": "./",
        "@type": "Dataset",
        "name": f"segpipe run {around['name']}",
        "description": "Segmentation of radiographs: masks, and a table of scores with a row for each image.",
        "datePublished": around.get("ended", "1970-01-01"),
        "license": _LICENCE,
        "conformsTo": [_to(profile) for profile in profiles],
        "hasPart": [_to(part["@id"]) for part in parts if not part["@id"].startswith("#")],
        "mentions": [_to("#run"), _to("#inputs")],
        **({"mainEntity": _to(_SNAKEFILE)} if any(part["@id"] == _SNAKEFILE for part in parts) else {}),
    }
    for profile, name in PROFILES.items():
        version = profile.rpartition("/")[2]
        yield {"@id": profile, "@type": "CreativeWork", "name": name, "version": version}


def _workflow(record: dict[str, Any], results: Path, parts: Sequence[Entity]) -> list[Entity]:
    software, code = record["may_differ"]["software"], record["may_differ"]["code"]
    rules = [_to(part["@id"]) for part in parts if part["@id"].endswith(".smk")]
    version = f"{software['segpipe']}, commit {code['commit']}" if code else software["segpipe"]
    workflow = _file(_SNAKEFILE, file_hash(results / _SNAKEFILE)) | {
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
        "name": "segpipe",
        "version": f"{version}, with changes" if code.get("changed") else version,
        "programmingLanguage": _to(_SNAKEMAKE),
        "hasPart": rules,
        "softwareRequirements": [_to(f"#software-{name}") for name in software],
        "license": "https://spdx.org/licenses/Apache-2.0",
    }
    language = {
        "@id": _SNAKEMAKE,
        "@type": "ComputerLanguage",
        "name": "Snakemake",
        "url": "https://snakemake.github.io",
        "version": software.get("snakemake", ""),
    }
    return [workflow, language]


def _action(record: dict[str, Any], outputs: Sequence[Entity], described: bool) -> Iterator[Entity]:
    around = record["may_differ"]
    times = {"startTime": around["began"], "endTime": around["ended"]} if "began" in around else {}
    yield {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"segpipe run {around['name']}",
        "description": f"On {around['machine']}",
        "instrument": _to(_SNAKEFILE if described else "#software-segpipe"),
        **times,
        "object": [_to("#inputs"), _to("workflow/config.json")],
        "result": [_to(output["@id"]) for output in outputs if not output["@id"].startswith("#given")],
        "actionStatus": _to("http://schema.org/CompletedActionStatus"),
    }


def _outputs(same: dict[str, Any], around: dict[str, Any]) -> Iterator[Entity]:
    for name, digest in {**same["outputs"], **around["outputs"]}.items():
        yield _file(name, digest)


def _weights(same: dict[str, Any]) -> Iterator[Entity]:
    """Those that the run trained lie in it; of a given model only the hash is known here."""
    for name, digest in same["weights"].items():
        if name.startswith("given"):
            yield {"@id": f"#{name}", "@type": "CreativeWork", "name": f"Model {name}", "sha256": digest}
        else:
            yield _file(f"{name}/{WEIGHTS}", digest)


def _masks(same: dict[str, Any], results: Path) -> Iterator[Entity]:
    found, *more = _collection("masks/", "Predicted masks", same["masks"])
    if (results / "masks").is_dir():
        yield {key: value for key, value in found.items() if key != "collectionSize"} | {"@type": "Dataset"}
        yield from more


def _collection(identifier: str, name: str, fingerprint: dict[str, Any]) -> list[Entity]:
    key = f"#fingerprint-of-{identifier.strip('#/')}"
    return [
        {
            "@id": identifier,
            "@type": "Collection",
            "name": name,
            "identifier": _to(key),
            "collectionSize": fingerprint["rows"],
        },
        {
            "@id": key,
            "@type": "PropertyValue",
            "name": "SHA-256 over the sorted SHA-256 of all files",
            "value": fingerprint["sha256"],
        },
    ]


def _software(name: str, version: str) -> Entity:
    return {"@id": f"#software-{name}", "@type": "SoftwareApplication", "name": name, "softwareVersion": version}


def _file(name: str, digest: str) -> Entity:
    kind = _KINDS.get(Path(name).suffix, "application/octet-stream" if "." in name else "text/plain")
    return {"@id": name, "@type": "File", "name": name, "encodingFormat": kind, "sha256": digest}


def _to(identifier: str) -> dict[str, str]:
    return {"@id": identifier}
