"""`emolytics explain BACKEND USERNAME`: one sign-in, step by step, without signing anybody in."""

from collections.abc import Iterable

import click

from emolytics import roles
from emolytics.backend import Diagnoses, Finding
from emolytics.commands import Failure
from emolytics.commands.last_attempt import last_attempt
from emolytics.commands.opened import opened, printable
from emolytics.commands.passwords import password_stdin, read_password
from emolytics.core import Core
from emolytics.errors import BackendUnavailable


@click.command(name="explain")
@click.argument("backend")
@click.argument("username")
@password_stdin
@click.option("--last", is_flag=True, help="From the audit trail: why the last sign-in went as it did.")
@click.pass_context
def command(ctx: click.Context, backend: str, username: str, password_stdin: bool, last: bool) -> None:
    """Show what BACKEND is asked about USERNAME, what comes back, and which roles result."""
    with opened(ctx) as core:
        found = core.backends.get(backend)
        if found is None:
            raise Failure(f"no backend is named {backend}", f"There are: {', '.join(core.backends)}.", 2)
        if last:
            steps: Iterable[Finding] = last_attempt(core.database, backend, username)
            if not steps:
                raise Failure(
                    f"the audit trail has no sign-in of {username} at {backend}", "See `emolytics audit`."
                )
        elif isinstance(found, Diagnoses):
            steps = found.explain(username, read_password(True) if password_stdin else None)
        else:
            raise Failure(f"{backend} cannot explain itself", "Its type offers no diagnosis; try --last.", 2)
        try:
            failed = _print(core, backend, steps)
        except BackendUnavailable as error:
            raise Failure(str(error), f"Run `emolytics check {backend}`.") from error
    if failed:
        ctx.exit(1)


def _print(core: Core, backend: str, steps: Iterable[Finding]) -> bool:
    """Whether a step failed; each is printed as it comes, for one may be waited for."""
    failed = False
    for step in steps:
        failed |= not step.ok
        click.echo(f"{'ok    ' if step.ok else 'FAILED'}  {step.step}: {printable(step.detail)}")
        if step.remedy and not step.ok:
            click.echo(f"        {step.remedy}")
        if step.groups is not None:
            granted = sorted(roles.granted(core.settings, backend, step.groups))
            click.echo(f"ok      roles: {', '.join(granted) or 'none'}")
    return failed
