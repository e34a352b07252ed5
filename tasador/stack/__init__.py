"""The local stack: embedded Valkey, the services and MLflow's pages, kept alive by one foreground process.

up ─▶ launch ─▶ Stack ─┬▶ Child (one process: spawn, watch, restart)
                       ├▶ Announcements (what the replicas say of themselves in Redis)
                       ├▶ StackFile (what `status`, `down` and replicas started by hand read)
                       └▶ View (a table that moves, or plain lines)
"""
