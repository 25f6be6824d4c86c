"""What is written of a run: the history always, and what each tracker's own package reads back."""

import json
import logging
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from srrs.errors import DataError, MissingExtraError, SettingsError
from srrs.records import Group, NoiseEstimate
from srrs.training.events import Event
from srrs.training.trackers import figures, jsonl, tracking

SETTINGS = {"model": "bundled", "steps": 4}


def screening(step: int, rate: float = 0.25) -> Event:
    """A screening that calls half of four labels clean and the others noisy and outside."""
    partition = SimpleNamespace(group=np.array([Group.CLEAN, Group.NOISY, Group.CLEAN, Group.OUTSIDE]))
    round = SimpleNamespace(noise=NoiseEstimate(rate, 0.2, 0.3), partition=partition)
    return Event("screening", step, 4, {"noise": rate}, round)


def step(number: int, loss: float = 0.5) -> Event:
    return Event("step", number, 4, {"loss": loss})


def told(path: Path) -> list[tuple[str, int]]:
    return [(line["kind"], line["step"]) for line in map(json.loads, path.read_text().splitlines())]


RUN = [screening(0), step(1), step(2), screening(2), step(3, 0.25), step(4, 0.125), screening(4), Event("end", 4, 4)]
PLACES = [(event.kind, event.step) for event in RUN]


def tell(listener, events=RUN) -> None:
    for event in events:
        listener(event)


def test_figures_are_the_loss_the_noise_and_the_share_of_each_group() -> None:
    assert figures(step(1)) == {"loss": 0.5}
    assert figures(screening(0)) == {
        "noise": 0.25, "noise_low": 0.2, "noise_high": 0.3,
        "clean": 0.5, "ambiguous": 0.0, "noisy": 0.25, "outside": 0.25,
    }  # fmt: skip


def test_the_history_has_a_line_per_event_at_once(tmp_path: Path) -> None:
    listen = jsonl(tmp_path / "new" / "history.jsonl")
    for number, event in enumerate(RUN, 1):
        listen(event)
        assert told(tmp_path / "new" / "history.jsonl") == PLACES[:number]
    first, second, *_ = map(json.loads, (tmp_path / "new" / "history.jsonl").read_text().splitlines())
    assert first == {"kind": "screening", "step": 0, "steps": 4, **figures(RUN[0])}
    assert second == {"kind": "step", "step": 1, "steps": 4, "loss": 0.5}


@pytest.mark.parametrize("stopped", [4, 5, 6])
def test_a_run_that_goes_on_leaves_a_history_as_if_it_had_not_stopped(tmp_path: Path, stopped: int) -> None:
    """The checkpoint is of step 2, and some of what came after was told already, the last line in part."""
    path = tmp_path / "history.jsonl"
    tell(jsonl(path), RUN[:stopped])
    with path.open("a") as file:
        file.write('{"kind": "st')
    tell(jsonl(path), RUN[3:])
    assert told(path) == PLACES
    tell(jsonl(path))
    assert told(path) == PLACES  # another run starts anew


def test_numbers_that_json_lacks_are_null(tmp_path: Path) -> None:
    jsonl(tmp_path / "h.jsonl")(step(1, float("nan")))
    assert json.loads((tmp_path / "h.jsonl").read_text())["loss"] is None


def test_a_history_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"Cannot write .*history\.jsonl: "):
        jsonl(tmp_path / "file" / "history.jsonl")(step(1))


@pytest.mark.parametrize("target", ["tensorbord:runs", "", ":x"])
def test_an_unknown_tracker_is_refused(target: str) -> None:
    with (
        pytest.raises(SettingsError, match="expected a tracker, tensorboard, wandb, mlflow or"),
        tracking([target], {}),
    ):
        pass


@pytest.mark.parametrize(
    ("target", "module", "extra"),
    [
        ("tensorboard", "torch.utils.tensorboard", "tensorboard"),
        ("wandb", "wandb", "wandb"),
        ("mlflow", "mlflow.tracking", "mlflow"),
    ],
)
def test_a_missing_package_is_named_before_the_run(monkeypatch, target: str, module: str, extra: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'srrs\[{extra}\]'"), tracking([target], {}):
        pytest.fail("the run began")


def test_tensorboard_reads_what_was_tracked(tmp_path: Path) -> None:
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs the extra tensorboard"
    )
    with tracking([f"tensorboard:{tmp_path / 'runs'}"], SETTINGS) as listeners:
        tell(*listeners)
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    found = reader.EventAccumulator(str(tmp_path / "runs")).Reload()
    assert [(s.step, s.value) for s in found.Scalars("loss")] == [(1, 0.5), (2, 0.5), (3, 0.25), (4, 0.125)]
    assert [(s.step, s.value) for s in found.Scalars("noise")] == [(0, 0.25), (2, 0.25), (4, 0.25)]
    (text,) = found.Tensors("settings/text_summary")
    assert b'"model": "bundled"' in text.tensor_proto.string_val[0]


@pytest.fixture
def wandb(monkeypatch) -> list:
    """A stand-in that keeps what is called."""
    calls: list = []
    run = SimpleNamespace(
        log=lambda values, step: calls.append((step, values)), finish=lambda exit_code: calls.append(exit_code)
    )

    def init(**options):
        calls.append(options)
        return run

    module = ModuleType("wandb")
    module.init = init
    monkeypatch.setitem(sys.modules, "wandb", module)
    return calls


def test_wandb_is_told_settings_figures_and_the_end(wandb: list) -> None:
    with tracking(["wandb:flowers"], SETTINGS) as listeners:
        tell(*listeners)
    assert wandb[0] == {"project": "flowers", "config": SETTINGS}
    assert wandb[1:-1] == [(event.step, figures(event)) for event in RUN[:-1]]
    assert [number for number, _ in wandb[1:-1]] == sorted(number for number, _ in wandb[1:-1])  # as it asks for
    assert wandb[-1] == 0


def test_a_run_that_fails_is_closed_as_failed(wandb: list) -> None:
    with pytest.raises(KeyboardInterrupt), tracking(["wandb"], SETTINGS):
        raise KeyboardInterrupt
    assert wandb == [{"project": "srrs", "config": SETTINGS}, 1]


def test_a_tracker_that_breaks_is_one_sentence(monkeypatch, wandb: list) -> None:
    def refuse(**_):
        raise RuntimeError("api_key not configured.\nmore")

    monkeypatch.setattr(sys.modules["wandb"], "init", refuse)
    with pytest.raises(SettingsError, match=r"The tracker 'wandb' does not work: api_key not configured\. Mend it"):  # noqa: SIM117
        with tracking(["wandb"], SETTINGS):
            pytest.fail("the run began")


class Mlflow:
    """A stand-in for its client that keeps what is called."""

    def __init__(self, tracking_uri: str | None):
        self.calls: list = [tracking_uri]
        Mlflow.made = self

    def get_experiment_by_name(self, name: str) -> None:
        return None

    def create_experiment(self, name: str) -> str:
        return f"experiment {name}"

    def create_run(self, experiment: str) -> SimpleNamespace:
        self.calls.append(experiment)
        return SimpleNamespace(info=SimpleNamespace(run_id="run"))

    def log_param(self, run: str, name: str, value: object) -> None:
        self.calls.append((run, name, value))

    def log_metric(self, run: str, name: str, value: float, step: int) -> None:
        self.calls.append((run, name, value, step))

    def set_terminated(self, run: str, status: str) -> None:
        self.calls.append((run, status))


def test_mlflow_is_told_settings_figures_and_the_end(monkeypatch) -> None:
    module = ModuleType("mlflow.tracking")
    module.MlflowClient = Mlflow
    monkeypatch.setitem(sys.modules, "mlflow", ModuleType("mlflow"))
    monkeypatch.setitem(sys.modules, "mlflow.tracking", module)
    with tracking(["mlflow:http://127.0.0.1:5000"], SETTINGS) as listeners:
        tell(*listeners)
    uri, experiment, *params, last = Mlflow.made.calls
    assert (uri, experiment, last) == ("http://127.0.0.1:5000", "experiment srrs", ("run", "FINISHED"))
    metrics = [("run", name, value, event.step) for event in RUN for name, value in figures(event).items()]
    assert params == [("run", "model", "bundled"), ("run", "steps", 4), *metrics]


@pytest.fixture(autouse=True)
def _environment(monkeypatch) -> None:
    """What trackers put into the environment is taken out again."""
    for name in ("MLFLOW_DISABLE_TELEMETRY", "WANDB_ERROR_REPORTING"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_mlflow_tells_its_makers_nothing_unless_it_is_told_to(tmp_path: Path, monkeypatch) -> None:
    telemetry = pytest.importorskip("mlflow.telemetry.utils", reason="needs the extra mlflow")
    monkeypatch.setattr(telemetry, "_IS_IN_CI_ENV_OR_TESTING", False)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    assert not telemetry.is_telemetry_disabled()
    with tracking([f"mlflow:{tmp_path / 'runs'}"], {}):
        assert telemetry.is_telemetry_disabled()
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    with tracking([f"mlflow:{tmp_path / 'runs'}"], {}):
        assert not telemetry.is_telemetry_disabled()


def test_the_real_wandb_takes_it_offline(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("wandb", reason="needs the extra wandb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with tracking(["wandb:flowers"], SETTINGS) as listeners:
        tell(*listeners)
    assert list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))


def test_the_real_mlflow_keeps_it_in_files(tmp_path: Path, monkeypatch) -> None:
    mlflow = pytest.importorskip("mlflow.tracking", reason="needs the extra mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    with tracking([f"mlflow:{tmp_path / 'runs'}"], SETTINGS) as listeners:
        tell(*listeners)
    client = mlflow.MlflowClient(str(tmp_path / "runs"))
    (run,) = client.search_runs([client.get_experiment_by_name("srrs").experiment_id])
    assert run.data.params == {"model": "bundled", "steps": "4"}
    losses = client.get_metric_history(run.info.run_id, "loss")
    assert sorted((m.step, m.value) for m in losses) == [(1, 0.5), (2, 0.5), (3, 0.25), (4, 0.125)]
    assert run.info.status == "FINISHED"
