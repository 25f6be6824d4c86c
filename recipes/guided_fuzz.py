"""Read the files of a coverage-guided fuzzer and count what is not a clear answer: a traceback, a warning, or a wait.

    pip install atheris
    python recipes/guided_fuzz.py --seconds 60 --seed 1

Atheris (libFuzzer) starts from the valid files of `recipes/fuzz.py`. It keeps each changed file that reaches new code
of srrs, and changes that file further. Each target runs in a process of its own for `--seconds`. A try counts as in
`recipes/fuzz.py`: read, refused with an error of srrs, or failed. Failed inputs are kept in the folder `--failures`.

Three targets put the fuzzer's bytes where random changes of a file hardly reach: `members` (arrays within an npz file
with a valid checksum, and headers of safetensors), `protocols` (noise by text and by file, drawn on a small split), and
`texts` (methods and files of settings).
"""

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path

import atheris
import numpy as np

with redirect_stderr(io.StringIO()), atheris.instrument_imports(include=["srrs"]):
    import fuzz
    from srrs.cli.resolved import read_config
    from srrs.config import Settings
    from srrs.core.noise import NoiseSpec
    from srrs.data.inputs import read_inputs
    from srrs.data.protocols import PROTOCOLS, draw
    from srrs.errors import SrrsError
    from srrs.methods.spec import method

SECONDS = 20
"""A try that takes longer has failed."""
LONGEST = 30_000
"""Largest number of bytes of an input."""
Seed = tuple[str, bytes, Callable[[Path], None]]
ROWS = 24
KINDS = ("sym", "pair", "near", "half", "inst", "instance", "open")
SPLIT = (np.arange(ROWS) % 3, [f"images/{at}.jpg" for at in range(ROWS)])
FEATURES = np.random.default_rng(0).normal(size=(ROWS, 4))


def main() -> None:
    """Run each target in a process, and print a table of the tries."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="duration of each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--failures", type=Path, default=Path("fuzz-failures"))
    asked = parser.parse_args()
    failed = False
    print("| target | tries | read | refused | failed |\n|---|---:|---:|---:|---:|")
    for name in asked.targets.split(","):
        words = [sys.executable, __file__, "--run", name, asked.failures, asked.seconds, asked.seed]
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([*map(str, words), folder], capture_output=True, text=True)
            found = Counter(json.loads((Path(folder) / "counts.json").read_text()))
        if done.returncode:  # a crash, a wait, or too much memory: libFuzzer ends the process
            found["failed"] += 1
            print(done.stderr[-3000:], file=sys.stderr)
        sys.stderr.writelines(line + "\n" for line in done.stderr.splitlines() if line.startswith("FAILED"))
        failed |= found["failed"] > 0
        print(f"| {name} | {found.total()} | {found['read']} | {found['refused']} | {found['failed']} |", flush=True)
    sys.exit(failed)


def run(name: str, failures: Path, seconds: str, seed: str, folder: Path) -> None:
    """Fuzz one target in this process. The numbers of the tries go to `counts.json` in the folder."""
    seeds, counts, places = TARGETS[name](), Counter[str](), set[str]()
    corpus, work = folder / "corpus", folder / "work"
    corpus.mkdir()
    (work / "photos").mkdir(parents=True)
    for at in range(fuzz.ROWS):
        fuzz.Image.new("RGB", (8, 8), (40 * at, 0, 0)).save(work / "photos" / f"{at}.png")
    for at, (_, content, _) in enumerate(seeds):
        (corpus / str(at)).write_bytes(bytes([at]) + content)

    def save() -> None:
        (folder / "counts.json").write_text(json.dumps(counts))

    def attempt(data: bytes) -> None:
        suffix, _, reader = seeds[data[0] % len(seeds) if data else 0]
        path = work / f"x{suffix}"
        path.write_bytes(data[1:])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                reader(path)
            counts["read"] += 1
        except SrrsError:
            counts["refused"] += 1
        except Exception as error:
            counts["failed"] += 1
            place = traceback.extract_tb(error.__traceback__)[-1]
            if (key := f"{type(error).__name__} {place.filename}:{place.lineno}") not in places:
                places.add(key)
                failures.mkdir(parents=True, exist_ok=True)
                file = failures / f"{name}-{hashlib.sha256(data).hexdigest()[:8]}{suffix}"
                file.write_bytes(data[1:])
                print(f"FAILED {name}: {key}: {str(error)[:200]} ({file})", file=sys.stderr)
        save()  # libFuzzer ends the process without an exception

    save()
    flags = [f"-max_total_time={seconds}", f"-seed={seed}", f"-max_len={LONGEST}", f"-timeout={SECONDS}"]
    os.chdir(folder)  # where libFuzzer writes the input of a crash
    atheris.Setup(["fuzz", *flags, "-rss_limit_mb=4096", "-verbosity=0", str(corpus)], attempt)
    atheris.Fuzz()


# Targets beside those of fuzz.py


def members() -> list[Seed]:
    """The bytes of one array in an npz file, and the header of a safetensors file; everything else is valid."""
    arrays = {
        "embeddings": np.eye(6, 8), "labels": np.array(["cat", "dog"] * 3), "ids": np.array(list("abcdef")),
        "views": np.ones((6, 2, 8)), "class_names": np.array(["cat", "dog"]), "class_vectors": np.eye(2, 8),
        "logit_scale": np.array(20.0), "paths": np.array(list("abcdef")), "model": np.array("x"),
    }  # fmt: skip
    packed = {name: _npy(array) for name, array in arrays.items()}
    header = json.dumps(
        {
            "embeddings": {"dtype": "F32", "shape": [6, 8], "data_offsets": [0, 192]},
            "__metadata__": {"labels": '["a", "b", "a", "b", "a", "b"]', "ids": '["u", "v", "w", "x", "y", "z"]'},
        }
    )
    return [
        *((".npz", content, _member(name, packed)) for name, content in packed.items()),
        (".safetensors", header.encode(), _read_header),
    ]


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _member(name: str, packed: dict[str, bytes]) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        content = path.read_bytes()
        with zipfile.ZipFile(path, "w") as archive:
            for other, own in packed.items():
                archive.writestr(f"{other}.npy", content if other == name else own)
        _read_bare(path)

    return read


def _read_header(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(len(content).to_bytes(8, "little") + content + np.eye(6, 8, dtype=np.float32).tobytes())
    _read_bare(path)


def _read_bare(path: Path) -> None:
    inputs = read_inputs(path, bare=True)
    assert inputs.features is not None
    found = np.asarray(inputs.features.rows(inputs.samples.usable)[0], np.float32)
    assert np.isfinite(found).all()
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=5e-3)


def protocols() -> list[Seed]:
    """Noise as text, a class-confusion matrix, and labels that people gave."""
    texts = ["sym:0.5", "pair:0.25+tail:3", "near:0.3", "half:0.2", "inst:0.1", "instance:0.4", "open:0.1", "human"]
    matrix = b"label,a,b,c\na,8,1,1\nb,2,6,2\nc,0,0,1\n"
    people = "path,label\n" + "".join(f"{path},{'abc'[at % 3]}\n" for at, path in enumerate(SPLIT[1]))
    return [
        *((".txt", text.encode(), _read_noise) for text in texts),
        *((".bin", bytes([kind, 128, tail, 4, 1]), _read_numbers) for kind in range(len(KINDS)) for tail in (0, 9)),
        (".csv", matrix, _drawing("matrix")),
        (".csv", people.encode(), _drawing("human")),
    ]


def _read_noise(path: Path) -> None:
    try:
        noise = NoiseSpec.parse(path.read_bytes().decode(errors="replace"))
    except ValueError as error:
        raise SrrsError(str(error)) from None
    again = NoiseSpec.parse(str(noise))
    assert (again.kind, again.source) == (noise.kind, noise.source)
    assert noise.rate is None or np.isclose(again.rate, noise.rate, rtol=1e-5)  # the text has six digits
    if noise.kind not in ("matrix", "human") and not (noise.kind == "open" and noise.source):
        _draw(noise)


def _read_numbers(path: Path) -> None:
    """Five bytes as a kind of noise, its rate, the ratio of its tail (0 for none), the shots and the seed."""
    kind, rate, tail, shots, seed, *_ = [*path.read_bytes(), 0, 0, 0, 0, 0]
    noise = NoiseSpec(KINDS[kind % len(KINDS)], rate / 255, "", float(tail) if tail else None)
    _draw(noise, shots, seed)


def _drawing(kind: str) -> Callable[[Path], None]:
    return lambda path: _draw(NoiseSpec.parse(f"{kind}:{path}"))


def _draw(noise: NoiseSpec, most: int = 4, seed: int = 1) -> None:
    """Draw by every protocol: known rows, each once, with a class each."""
    refused = None
    for protocol in PROTOCOLS:
        for shots in (None, most):
            try:
                found = draw(
                    *SPLIT,
                    3,
                    noise,
                    protocol=protocol,
                    shots=shots,
                    seed=seed,
                    class_names=list("abc"),
                    features=FEATURES,
                )
            except SrrsError as error:
                refused = error
                continue
            assert len(set(found.rows.tolist())) == len(found.rows)
            assert set(found.given.tolist()) <= {0, 1, 2}
    if refused:
        raise refused


def texts() -> list[Seed]:
    """Methods as text, and files of settings."""
    methods = [
        "srrs", "srrs-paper(rescreen=accept_all)", "srrs(screen=bands(theta=0.05))", "coop(tuners=[macro, micro])",
        "zero-shot(tuners=task_residual(learning_rate=0.1))",
    ]  # fmt: skip
    settings = b"schedule: {steps: 5, learning_rate: null}\nviews: 1\nmodel: {name: bundled}\noptions: {budget: 3}\n"
    return [*((".txt", text.encode(), _read_method) for text in methods), (".yaml", settings, _read_settings)]


def _read_method(path: Path) -> None:
    text = path.read_bytes().decode(errors="replace")
    if ":" not in text:  # a name with a colon imports a module of the user
        method(text)


def _read_settings(path: Path) -> None:
    Settings.of(**{str(name): value for name, value in read_config(path).settings.items()})


TARGETS: dict[str, Callable[[], list[Seed]]] = {
    "tables": fuzz.tables, "arrays": fuzz.arrays, "members": members, "json": fuzz.json_files,
    "features": fuzz.features, "protocols": protocols, "texts": texts,
}  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        name, failures, seconds, seed, folder = sys.argv[2:]
        run(name, Path(failures).absolute(), seconds, seed, Path(folder))
    else:
        main()
