"""`emolytics check [BACKEND]`: do the settings hold, and does everything that they name answer?"""

from collections.abc import Iterator

import click

from emolytics import migrations
from emolytics.backend import Diagnoses, Finding
from emolytics.commands import Failure
from emolytics.commands.opened import opened_as_it_is, print_table, printable
from emolytics.core import Core
from emolytics.errors import EmolyticsError, StoreUnavailable
from emolytics.health import check_all


@click.command(name="check")
@click.argument("backend", required=False)
@click.option("--json", "as_json", is_flag=True, help="An array of objects.")
@click.pass_context
def command(ctx: click.Context, backend: str | None, as_json: bool) -> None:
    """Validate the settings, then ask the database, the limiter's store and each backend. Of one, every step."""
    with opened_as_it_is(ctx) as core:
        wrong = _upgraded(core)
        findings = list(_steps(core, backend) if backend else _all(core, wrong))
    if as_json:
        print_table([_as_dict(finding) for finding in findings], as_json=True)
    else:
        for finding in findings:
            click.echo(printable(f"{'ok    ' if finding.ok else 'FAILED'}  {finding.step}: {finding.detail}"))
            if finding.remedy and not finding.ok:
                click.echo(f"        {finding.remedy}")
    if not all(finding.ok for finding in findings):
        ctx.exit(1)


def _upgraded(core: Core) -> str:
    """Why the database cannot be brought up to date, or "": the other parts are asked all the same."""
    try:
        migrations.upgrade(core.database)
    except StoreUnavailable as error:
        return str(error)
    return ""


def _all(core: Core, wrong: str) -> Iterator[Finding]:
    yield Finding("settings", True, "valid")
    for name, ok, detail in check_all(core):
        outdated = wrong if name == "database" else ""
        yield Finding(name, ok and not outdated, outdated or detail, _remedy(name))


def _remedy(part: str) -> str:
    if part.startswith("backend "):
        return f"Run `emolytics check {part.removeprefix('backend ')}` for every step."
    key = {"database": "emolytics.database", "limits": "emolytics.limits.storage"}[part]
    return f"Check that it runs, and that {key} in the settings names it."


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
    except EmolyticsError as error:
        yield _failed(name, str(error))
    except Exception as fault:
        # A stranger's backend: the operator is told which one, in one line.
        yield _failed(name, f"unexpected {type(fault).__name__}: {fault}")


def _failed(name: str, detail: str) -> Finding:
    return Finding(f"backend {name}", False, detail, "Check that the upstream runs and can be reached.")


def _as_dict(finding: Finding) -> dict[str, object]:
    remedy = "" if finding.ok else finding.remedy
    return {"step": finding.step, "ok": finding.ok, "detail": finding.detail, "remedy": remedy}
