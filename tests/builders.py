"""Builders of test values: they show only what matters, and fill in the rest."""

from shared.jobs import JobSpec, new_job_id


def a_spec(rows: int = 1000, chunk_rows: int = 100, **fields: object) -> JobSpec:
    chunks = -(-rows // chunk_rows)
    job_id = str(fields.pop("id", new_job_id()))
    values: dict[str, object] = {
        "id": job_id,
        "model_name": "model",
        "model_version": "1",
        "model_digest": "d" * 64,
        "rows": rows,
        "chunk_rows": chunk_rows,
        "chunks": chunks,
        "input_key": f"jobs/{job_id}/input",
        "input_offsets": list(range(0, 10 * chunks + 1, 10)),
    }
    return JobSpec.model_validate(values | fields)
