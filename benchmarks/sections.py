"""Every section, in the order in which `all` runs them."""

from benchmarks.section import Section

SECTIONS = {
    "engine": Section("benchmarks.engines:engines", "the engines beside scikit-learn, in one process", 1.5, short=True),
    "single": Section(
        "benchmarks.single:single",
        "one row a request, beside a constant answer and beside other servers of the same model",
        25,
        quick_minutes=6,
    ),
    "batch": Section("benchmarks.batch:batch", "`/predict/batch`, and a job of 200,000 rows", 2, short=True),
    "telemetry": Section(
        "benchmarks.telemetry:telemetry",
        "what ids, metrics, telemetry and limits cost: a gateway beside its own steps alone",
        4,
        short=True,
    ),
    "reload": Section("benchmarks.reload:reload", "a promotion every second, under load", 3, short=True),
    "start": Section("benchmarks.start:start", "from the command to ready, and memory then", 1, short=True),
    "scaling": Section(
        "benchmarks.scaling:scaling",
        "the same job with 1, 2, 4 and 8 scorers, single rows with 1 and 2 gateway workers",
        5,
        quick_minutes=2,
    ),
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
    "traffic": Section(
        "benchmarks.traffic:traffic",
        "memory of the monitor and of Valkey while a hundred million rows are counted",
        7,
        quick_minutes=1,
    ),
    "concurrent": Section("benchmarks.jobs.sections:concurrent", "the same rows in 1, 10 and 100 jobs at once", 2),
    "chunks": Section("benchmarks.jobs.sections:chunks", "what a chunk costs whose rows cost nothing", 3),
    "queue": Section(
        "benchmarks.queue.sections:queue",
        "chunks that only sleep, with up to 64 scorers, and how many chunks one Valkey takes",
        8,
    ),
    "drift": Section(
        "benchmarks.drift.sections:drift",
        "how often drift is found where there is none, and how soon where there is some, beside Evidently's preset",
        45,
        quick_minutes=3,
    ),
}
