"""What Tasador costs, measured beside a limit or a rival in the same run. `make bench` prints the tables."""
