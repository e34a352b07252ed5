"""Breaking a running stack on purpose, and checking what it promised meanwhile.

schedule ─▶ Injector ─▶ processes and Redis        Load ─▶ gateway
                 └──────────▶ History ◀──────────────┘
                                 └▶ checker ─▶ report

`tests/chaos` uses the same schedule, injector, load and checker as `tasador torture`.
"""
