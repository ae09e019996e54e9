"""What a run was made from and what came out: provenance.json, and the same as a Workflow Run RO-Crate."""
