"""The recipes for schedulers do what the topic on machines says, as far as that can be seen without a cluster."""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.conftest import Result
from tests.cli.conftest import stemsplit as stemsplit
from tests.cli.processes import light as light
from tests.cli.processes import read_lines
from tests.cli.processes import tiny as tiny
from tests.conftest import unix
from tests.documents import TOPICS, blocks, text
from tests.test_docs import check

Command = Callable[..., Result]
Song = Callable[..., Path]

SCRIPT = next(block for block in blocks(TOPICS["machines"], "shell") if "#SBATCH" in block)
JOB = yaml.safe_load(blocks(TOPICS["machines"], "yaml")[0])


def tasks(most: int = 1_000) -> list[dict[str, str]]:
    """The variables that Slurm gives to each task of the array; of a smaller array, to save time."""
    match = re.search(r"^#SBATCH --array=(\d+)-(\d+)%\d+$", SCRIPT, re.M)
    assert match
    first, last = int(match[1]), min(int(match[2]), int(match[1]) + most - 1)
    array = {"MIN": first, "MAX": last, "COUNT": last - first + 1, "STEP": 1}
    found = [{"ID": number, **array} for number in range(first, last + 1)]
    return [{f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in each.items()} for each in found]


@unix
def test_the_script_for_slurm_runs_stemsplit_in_its_own_process(tmp_path: Path) -> None:
    """So the signal that Slurm sends to the script reaches stemsplit."""
    program = tmp_path / "stemsplit"
    program.write_text('#!/bin/sh\necho $$ $SLURM_ARRAY_TASK_ID "$@"\n')
    program.chmod(0o755)
    (tmp_path / "job.sh").write_text(SCRIPT)
    variables = {**os.environ, **tasks()[0], "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    with subprocess.Popen(["bash", str(tmp_path / "job.sh")], env=variables, stdout=subprocess.PIPE, text=True) as job:
        out, _ = job.communicate(timeout=60)
    assert out.split() == [str(job.pid), "1", *shlex.split(SCRIPT.strip().splitlines()[-1])[2:]]


def test_the_job_for_kubernetes_is_one_that_it_takes() -> None:
    """By its rules: of an Indexed Job with a limit for each index, and of a policy for failures."""
    spec = JOB["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert (JOB["apiVersion"], JOB["kind"], spec["completionMode"]) == ("batch/v1", "Job", "Indexed")
    assert pod["restartPolicy"] == "Never"  # asked for by podFailurePolicy
    assert spec["backoffLimitPerIndex"] >= 1  # asked for by FailIndex
    assert {"name": "JOB_COMPLETIONS", "value": str(spec["completions"])} in container["env"]
    first, *others = spec["podFailurePolicy"]["rules"]
    assert first == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    assert {rule["onExitCodes"]["containerName"] for rule in others} == {container["name"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


@pytest.mark.parametrize(
    ("arguments", "status", "action"),
    [
        (["lib"], 0, None),
        (["bad"], 1, "FailIndex"),
        (["lib", "--device", "cuda:77"], 2, "FailJob"),
        (["lib", "--format", "nonsense"], 2, "FailJob"),
        (["lib", "--model", "no-such-model"], 3, None),
    ],
)
@pytest.mark.usefixtures("light")
def test_the_job_acts_on_exit_statuses_as_they_are(
    stemsplit: Command,
    song: Song,
    tiny: list[str],
    tmp_path: Path,
    arguments: list[str],
    status: int,
    action: str | None,
) -> None:
    """A share whose songs failed is not run again; a wrong command ends all; a missing model is tried again."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "bad").mkdir()
    song("lib/a.wav", frames=2_000)
    (tmp_path / "bad" / "b.wav").write_bytes(b"RIFF")
    assert stemsplit(*tiny, *arguments, "--shard", "1/1").status == status
    rules = [rule for rule in JOB["spec"]["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
    actions = [rule["action"] for rule in rules if status in rule["onExitCodes"]["values"]]
    assert actions == ([action] if action else [])


def shared(arguments: list[str], model: list[str]) -> list[str]:
    """The arguments of a recipe, with places of this test for those of a cluster, and a small model."""
    assert arguments[0] == "stemsplit"
    text = shlex.join(arguments[1:]).replace("/shared/songs", "lib").replace("/shared/stems", "stems")
    return [*shlex.split(re.sub(r"--model \S+", "", text)), *model, "--json"]


@pytest.fixture
def library(song: Song, tmp_path: Path) -> list[str]:
    """Paths of some songs."""
    (tmp_path / "lib" / "more").mkdir(parents=True)
    names = ["lib/a.wav", "lib/b.wav", "lib/c.wav", "lib/more/a.wav"]
    for name in names:
        song(name, frames=2_000)
    return names


def test_the_array_of_slurm_has_each_song_once(
    stemsplit: Command, library: list[str], tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command, told = shlex.split(SCRIPT.strip().splitlines()[-1])[1:], list[str]()
    for variables in tasks(3):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        result = stemsplit(*shared(command, tiny), "--dry-run")
        assert result.status == 0
        told += [line["song"] for line in read_lines(result.out)[0]]
    assert sorted(told) == library


@pytest.mark.usefixtures("light")
def test_the_pods_of_kubernetes_split_each_song_once_and_status_adds_them_up(
    stemsplit: Command, library: list[str], tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them runs twice, as after a lost node. Of a smaller job, to save time."""
    (container,) = JOB["spec"]["template"]["spec"]["containers"]
    (variable,) = [each["name"] for each in container["env"] if each["value"] == str(JOB["spec"]["completions"])]
    monkeypatch.setenv(variable, "3")
    told: list[dict[str, Any]] = []
    for number in (0, 1, 2, 1):
        monkeypatch.setenv("JOB_COMPLETION_INDEX", str(number))
        result = stemsplit(*shared(container["command"], tiny))
        assert result.status == 0
        told += read_lines(result.out)[0]
    assert sorted(line["song"] for line in told if line["status"] == "done") == library
    result = stemsplit("status", "stems", "lib", "--json")
    found = json.loads(result.out)
    check("status", found)
    assert (result.status, found["songs"], found["done"], found["exit_status"]) == (0, 4, 4, 0)
    (batch,) = found["batches"]
    assert (batch["songs"], batch["done"], batch["failed"], batch["lacking"]) == (4, 4, 0, [])
    assert (batch["shards"], batch["runs"]) == (3, 4)


def test_every_exit_status_of_the_job_is_explained() -> None:
    table = text(TOPICS["machines"]).partition("| exit status |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| ([\d, ]+) \|", table, re.M) == ["0", "1", "2", "3", "137, 143"]
