"""A run as an RO-Crate 1.1 of the profile Workflow Run Crate 0.5 (https://w3id.org/ro/wfrun/workflow/0.5).

It says what provenance.json says, in words that other tools know; equal records give equal bytes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segpipe.models.card import WEIGHTS

CONTEXT = "https://w3id.org/ro/terms/workflow-run/context"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
CONFIG = "workflow/config.json"
_SNAKEFILE = "workflow/Snakefile"
_KINDS = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".png": "image/png",
    ".html": "text/html",
    ".smk": "text/plain",
}


def crate(record: dict[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
    """The content of ro-crate-metadata.json.

    ``record`` is provenance.json's; ``files`` are the SHA-256 of more files of the crate, by name.
    """
    from rocrate.rocrate import ROCrate

    same, around = record["same"], record["may_differ"]
    made = ROCrate(version="1.1")
    made.metadata.extra_contexts.append(CONTEXT)
    _describe(made, around)
    software = [
        _context(made, f"#software-{name}", "SoftwareApplication", name, softwareVersion=version)
        for name, version in around["software"].items()
    ]
    parts = {name: _file(made, name, digest) for name, digest in files.items() if name != _SNAKEFILE}
    if _SNAKEFILE in files:
        instrument = _workflow(made, around, files[_SNAKEFILE], software)
        instrument["hasPart"] = [part for name, part in parts.items() if name.endswith(".smk")]
    else:
        instrument = made.get("#software-segpipe")
    name, count = "Images and reference masks, as they were read", same["inputs"]["rows"]
    inputs = _context(made, "#inputs", "Collection", name, collectionSize=count)
    _fingerprinted(made, inputs, same["inputs"])
    action = made.add_action(
        instrument,
        identifier="#run",
        object=[inputs, parts[CONFIG]],
        result=_results(made, same, around),
        properties={
            "name": f"segpipe run {around['name']}",
            "description": f"On {around['machine']}",
            "actionStatus": {"@id": "http://schema.org/CompletedActionStatus"},
            **({"startTime": around["began"], "endTime": around["ended"]} if "began" in around else {}),
        },
    )
    made.root_dataset["mentions"] = [action, inputs]
    found: dict[str, Any] = made.metadata.generate()
    return found


def _describe(made: Any, around: dict[str, Any]) -> None:
    """The crate as a whole, and the profiles that it keeps to."""
    made.name = f"segpipe run {around['name']}"
    made.description = "Segmentation of radiographs: masks, and a table of scores with a row for each image."
    made.datePublished = around.get("ended", "1970-01-01")  # else rocrate takes the present time
    made.license = "not stated: the publisher of these results has to choose one"
    for profile, name in PROFILES.items():
        entity = _context(made, profile, "CreativeWork", name, version=profile.rpartition("/")[2])
        made.root_dataset.append_to("conformsTo", entity)


def _workflow(made: Any, around: dict[str, Any], digest: str, software: list[Any]) -> Any:
    code, version = around["code"], around["software"]["segpipe"]
    version += f", commit {code['commit']}" if code else ""
    return made.add_workflow(
        dest_path=_SNAKEFILE,
        main=True,
        lang="snakemake",
        lang_version=around["software"].get("snakemake", "unknown"),
        properties={
            "name": "segpipe",
            "version": f"{version}, with changes" if code.get("changed") else version,
            "softwareRequirements": [{"@id": each.id} for each in software],
            "license": {"@id": "https://spdx.org/licenses/Apache-2.0"},
            "encodingFormat": "text/plain",
            "sha256": digest,
        },
    )


def _results(made: Any, same: dict[str, Any], around: dict[str, Any]) -> list[Any]:
    """Outputs, the models that the run trained, and masks; of a given model, only its hash is known here."""
    found = [_file(made, name, digest) for name, digest in {**same["outputs"], **around["outputs"]}.items()]
    for name, digest in same["weights"].items():
        if name.startswith("given"):
            _context(made, f"#{name}", "CreativeWork", f"Model {name}", sha256=digest)
        else:
            found.append(_file(made, f"{name}/{WEIGHTS}", digest))
    if same["masks"]["hashed"]:
        masks = made.add_dataset(dest_path="masks/", properties={"name": "Predicted masks"})
        _fingerprinted(made, masks, same["masks"])
        found.append(masks)
    return found


def _fingerprinted(made: Any, files: Any, fingerprint: dict[str, Any]) -> None:
    """Many files under one hash."""
    name = "SHA-256 over the sorted SHA-256 of all files"
    identifier = f"#fingerprint-of-{files.id.strip('#/')}"
    files["identifier"] = _context(made, identifier, "PropertyValue", name, value=fingerprint["sha256"])


def _context(made: Any, identifier: str, kind: str, name: str, **properties: Any) -> Any:
    from rocrate.model.contextentity import ContextEntity

    return made.add(ContextEntity(made, identifier, {"@type": kind, "name": name, **properties}))


def _file(made: Any, name: str, digest: str) -> Any:
    kind = _KINDS.get(Path(name).suffix, "application/octet-stream" if "." in name else "text/plain")
    return made.add_file(dest_path=name, properties={"name": name, "encodingFormat": kind, "sha256": digest})
