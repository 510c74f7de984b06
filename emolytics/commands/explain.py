"""`emolytics explain BACKEND USERNAME`: one sign-in, step by step, without signing anybody in."""

import click

from emolytics import roles
from emolytics.backend import Diagnoses
from emolytics.commands import Failure
from emolytics.commands.opened import opened
from emolytics.commands.passwords import password_stdin, read_password
from emolytics.errors import BackendUnavailable


@click.command(name="explain")
@click.argument("backend")
@click.argument("username")
@password_stdin
@click.pass_context
def command(ctx: click.Context, backend: str, username: str, password_stdin: bool) -> None:
    """Show what BACKEND is asked about USERNAME, what comes back, and which roles result."""
    with opened(ctx) as core:
        found = core.backends.get(backend)
        if found is None:
            raise Failure(f"no backend is named {backend}", f"There are: {', '.join(core.backends)}.", 2)
        if not isinstance(found, Diagnoses):
            raise Failure(f"{backend} cannot explain itself", "Its type offers no diagnosis.", 2)
        failed = False
        try:
            for step in found.explain(username, read_password(True) if password_stdin else None):
                failed |= not step.ok
                click.echo(f"{'ok    ' if step.ok else 'FAILED'}  {step.step}: {step.detail}")
                if step.groups is not None:
                    granted = sorted(roles.granted(core.settings, backend, step.groups))
                    click.echo(f"ok      roles: {', '.join(granted) or 'none'}")
        except BackendUnavailable as error:
            raise Failure(str(error), f"Run `emolytics check {backend}`.") from error
    if failed:
        ctx.exit(1)
