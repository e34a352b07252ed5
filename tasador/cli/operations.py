"""Seeing a command through: promotion, rollback, training."""

from rich.text import Text

from tasador.cli.output import Format, err, fail, outage, print_fields, print_json
from tasador.client import Client, Operation


def finish(client: Client, operation: Operation, output: Format) -> None:
    """Wait for the end of an operation, and end the command as it ended."""
    ended = follow(client, operation)
    if output is Format.JSON:
        print_json(ended.model_dump(mode="json"))
    elif ended.state == "succeeded":
        flat = {name: value for name, value in ended.result.items() if not isinstance(value, dict)}
        print_fields({"operation": ended.id, "state": ended.state, **flat})
    if ended.state == "failed":
        fail(f"the {ended.kind} failed: {ended.detail}")


def follow(client: Client, operation: Operation) -> Operation:
    """Wait, with what it is doing on stderr: moving on a terminal, a line per step elsewhere."""
    console = err()
    try:
        if console.is_terminal:
            with console.status(operation.kind) as status:
                return client.wait_operation(
                    operation.id,
                    on_progress=lambda now: status.update(Text(f"{now.kind} {now.detail or now.state}")),
                    on_outage=lambda why: status.update(Text(outage(why))),
                )
        said: set[str] = set()

        def say(now: Operation) -> None:
            line = now.detail or now.state
            if line not in said and not now.ended:
                said.add(line)
                console.print(Text(f"{now.kind} {line}"), soft_wrap=True)

        return client.wait_operation(
            operation.id, on_progress=say, on_outage=lambda why: console.print(Text(outage(why)), soft_wrap=True)
        )
    except KeyboardInterrupt:
        fail(f"no longer waiting; the {operation.kind} goes on as operation {operation.id}")
