"""What every test starts from, and what CI demands of the run as a whole."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

pytest_plugins = ["tests.harness.clouds"]

# How long an example takes says nothing on a shared machine. CI tries the same examples each
# time, so that a change is judged by what it changed; at home they are new ones.
settings.register_profile("mcai", deadline=None, derandomize="MCAI_CI" in os.environ)
settings.load_profile("mcai")


def skips(config: pytest.Config) -> list[str]:
    """One ``where: why`` line per skipped test or module of this run."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:  # a worker: its controller counts
        return []
    lines = []
    for report in reporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        lines.append(f"{report.nodeid}: {reason}")
    return sorted(set(lines))


def skips_are_failures() -> bool:
    """True in CI, which installs what every test needs: there a skip hides a missing step."""
    return os.environ.get("MCAI_CI", "") not in ("", "0")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a CI run in which a test was skipped."""
    if skips_are_failures() and skips(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say which skips failed the run."""
    if skips_are_failures() and (lines := skips(config)):
        terminalreporter.section("skipped tests fail this run (MCAI_CI)", red=True)
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session", autouse=True)
def no_settings_of_the_developer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep a developer's platform, tables and Dagster instance out of the tests, and ours in."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [*os.environ]:
            if name.startswith(("MCAI_", "DAGSTER_")) and name != "MCAI_CI":
                patch.delenv(name)
        patch.setenv("MCAI_HOME", str(tmp_path_factory.mktemp("mcai-home")))
        patch.setenv("DAGSTER_DISABLE_TELEMETRY", "1")
        yield
