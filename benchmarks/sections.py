"""Every section, in the order in which `all` runs them."""

from benchmarks.section import Section

SECTIONS = {
    "engine": Section("benchmarks.engines:engines", "the engines beside scikit-learn, in one process", 1.5, short=True),
    "batch": Section("benchmarks.batch:batch", "`/predict/batch`, and a job of 200,000 rows", 2, short=True),
    "jobs": Section(
        "benchmarks.jobs.compared:jobs",
        "a job from a file to a file, beside the engine on an array in memory, scikit-learn, and Celery",
        8,
        quick_minutes=3,
    ),
    "memory": Section(
        "benchmarks.jobs.sections:memory",
        "the most memory that each process ever took, after jobs of growing size",
        6,
        quick_minutes=2,
    ),
    "scorers": Section(
        "benchmarks.jobs.sections:scorers", "the same job with 1, 2, 4 and 8 scorers", 4, quick_minutes=2
    ),
    "concurrent": Section("benchmarks.jobs.sections:concurrent", "the same rows in 1, 10 and 100 jobs at once", 2),
    "chunks": Section("benchmarks.jobs.sections:chunks", "what a chunk costs whose rows cost nothing", 3),
}
