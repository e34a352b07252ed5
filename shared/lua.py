"""Scripts that share functions: what several need is put before each of them."""


def assembled(script: str, *preludes: str) -> str:
    """Return a script with preludes before it. Its shebang, with the flags, has to stay the first line."""
    shebang, rest = script.split("\n", 1)
    return "\n".join((shebang, *preludes, rest))
