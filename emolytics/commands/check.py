"""`emolytics check [BACKEND]`: do the settings hold, and does everything that they name answer?"""

from collections.abc import Iterator

import click

from emolytics.backend import Diagnoses, Finding
from emolytics.commands import Failure
from emolytics.commands.opened import opened, print_table
from emolytics.core import Core
from emolytics.errors import BackendUnavailable
from emolytics.health import check_all


@click.command(name="check")
@click.argument("backend", required=False)
@click.option("--json", "as_json", is_flag=True, help="An array of objects.")
@click.pass_context
def command(ctx: click.Context, backend: str | None, as_json: bool) -> None:
    """Validate the settings, then contact the database and each backend; of one BACKEND, every step."""
    with opened(ctx) as core:
        findings = list(_steps(core, backend) if backend else _all(core))
    if as_json:
        print_table([_as_dict(finding) for finding in findings], as_json=True)
    else:
        for finding in findings:
            click.echo(f"{'ok    ' if finding.ok else 'FAILED'}  {finding.step}: {finding.detail}")
            if finding.remedy and not finding.ok:
                click.echo(f"        {finding.remedy}")
    if not all(finding.ok for finding in findings):
        ctx.exit(1)


def _all(core: Core) -> Iterator[Finding]:
    yield Finding("settings", True, "valid")
    for check in check_all(core):
        yield Finding(check.name, check.ok, check.detail, "Run `emolytics check BACKEND` for more.")


def _steps(core: Core, name: str) -> Iterator[Finding]:
    found = core.backends.get(name)
    if found is None:
        raise Failure(f"no backend is named {name}", f"There are: {', '.join(core.backends)}.", 2)
    try:
        if isinstance(found, Diagnoses):
            yield from found.diagnose()
        else:
            found.check_health()
            yield Finding(f"backend {name}", True, "answers")
    except BackendUnavailable as error:
        yield Finding(
            f"backend {name}", False, str(error), "Check that the upstream runs and can be reached."
        )


def _as_dict(finding: Finding) -> dict[str, object]:
    return {"step": finding.step, "ok": finding.ok, "detail": finding.detail, "remedy": finding.remedy}
