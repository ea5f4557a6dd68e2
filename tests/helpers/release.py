"""The chart of this checkout, installed on the kind cluster as the tests want it."""

import subprocess
from pathlib import Path

from helpers.team import IMAGE, SYSTEM

CHART = Path(__file__).parents[2] / "charts/droveway"


def helm(*args: str) -> None:
    """Helm's own words go to the test's output."""
    subprocess.run(["helm", *args], check=True, timeout=300)


def install(*values: str) -> None:
    """Installs or upgrades the chart, with the image that was built from this checkout."""
    name, tag = IMAGE.rsplit(":", 1)
    ours = (
        f"image.repository={name},image.tag={tag}",
        "operator.allowDirectBaseURL=true,operator.resyncSeconds=30",
        "gateway.drainSeconds=20,gateway.replicas=2",
    )
    chosen = [word for value in (*ours, *values) for word in ("--set", value)]
    release = ("upgrade", "--install", "droveway", str(CHART), "--namespace", SYSTEM, "--create-namespace")
    helm(*release, *chosen, "--wait", "--timeout", "3m")
