"""Hostile model folders and configs: pickles, false headers, NaN weights, paths as names, deep nesting, YAML tags.

Nothing in them may be executed: a canary file must not appear. Each is refused in one line.
"""

from __future__ import annotations

import itertools
import json
import os
import pickle
import random
import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import load_file, save_file

from scripts.dev.torture_checks.base import Attempt
from scripts.dev.torture_checks.networks import MAY_ACCEPT, MUST_REFUSE, NETWORKS, damage_network, save_networks
from scripts.dev.torture_checks.processes import run_command
from scripts.dev.torture_checks.sandbox import Payload, renew, write_inputs
from tests.training.helpers import write_config

NAME = "models"
TRIED = "hostile folders of models and of networks from outside, and training configs, in predict and train"
PROMISE = "nothing in them is executed; refused in one line with exit status 2"
COUNT = 250

WEIGHTS = "model.safetensors"
LONG = 10**9
VALUES: tuple[Any, ...] = (
    0, -1, 1, LONG, 10**30, 1e308, -0.5, float("nan"), float("inf"), True, None, "", "x" * 4096, "../../evil",
    "/etc/passwd", "CON", "\x00", "\u202e", [], {}, [[]] * 100, {"a": {"b": {}}}, "os.system",
    "!!python/object:os.system",
)  # fmt: skip
"""Values that replace a setting."""


@dataclass(frozen=True)
class _Trial:
    """A hostile file: how it is written, and the arguments that read it."""

    name: str
    write: Callable[[Path, Path], None]
    """Called with the model folder, or the folder of the config, and the path of the canary."""
    command: str
    """"predict", "train" or the name of a network from outside."""
    must_refuse: bool = True
    """False for random changes, which may be harmless."""


def run(folder: Path, seed: int, count: int) -> Iterator[Attempt]:
    """Try the written cases first, then random changes of a config or of weights; see `base.Check`."""
    inputs, canary = write_inputs(folder / "inputs"), folder / "canary"
    for trial in itertools.islice(itertools.chain(_trials(), _random_trials(seed)), count):
        place = renew(folder / "hostile")
        if trial.command in NETWORKS:
            intact = folder / "networks"
            if not intact.exists():
                save_networks(intact)
            damage_network(intact / trial.command, place / "network", trial.write, canary)
            arguments = NETWORKS[trial.command].arguments(inputs, intact, place / "network", place / "out")
        elif trial.command == "predict":
            shutil.copytree(inputs.model, place / "model")
            trial.write(place / "model", canary)
            arguments = inputs.predict(place / "out", "--model", place / "model")
        else:
            write_config(place, place / "run", steps=1)
            trial.write(place, canary)
            arguments = ["train", "--config", place / "run.yaml", "--quiet"]
        yield Attempt(trial.name, _judge(trial, arguments, place, canary, folder / "log"))


def _judge(trial: _Trial, arguments: list[object], place: Path, canary: Path, log: Path) -> str | None:
    ended = run_command(arguments, log)
    if canary.exists():
        canary.unlink()
        return "code in the file was executed"
    if ended.fault is not None:
        return ended.fault
    if ended.status == 0 and not trial.must_refuse:
        return None
    if ended.status != 2 or len(ended.lines) != 1:
        return f"status {ended.status}: {' / '.join(ended.lines)[:300]}"
    left = {path.name for path in place.iterdir()} & {"out", "run"}
    return f"refused, but {', '.join(left)} was written" if left else None


def _trials() -> Iterator[_Trial]:
    for name, weights in WEIGHT_FILES.items():
        yield _Trial(f"weights: {name}", weights, "predict")
    for name, content in CONFIG_FILES.items():
        yield _Trial(f"config.json: {name}", partial(_write_json, content), "predict")
    for name, text in YAML_FILES.items():
        yield _Trial(f"training config: {name}", partial(_write_yaml, text), "train")
    for name, path in (("init", "init"), ("worlds", "worlds"), ("validation", "validation")):
        yield _Trial(f"training config: {name} is a pickle", partial(_pickle_as_setting, path), "train")

    for kind, damages in ((True, MUST_REFUSE), (False, MAY_ACCEPT)):
        for name, damage in damages.items():
            yield from (_Trial(f"--{option}: {name}", damage, option, kind) for option in NETWORKS)


def _random_trials(seed: int) -> Iterator[_Trial]:
    for number in itertools.count():
        choose = random.Random(f"{seed} {number}")
        kind = number % 4
        if kind == 0:
            yield _Trial(f"random weights {number}", partial(_damage_header, choose), "predict", must_refuse=False)
        elif kind == 3:
            yield _Trial(f"random training config {number}", partial(_change_yaml, choose), "train", must_refuse=False)
        else:
            yield _Trial(f"random config.json {number}", partial(_change_json, choose), "predict", must_refuse=False)


def _pickled(model: Path, canary: Path) -> None:
    (model / WEIGHTS).write_bytes(pickle.dumps(Payload(canary)))


def _saved_by_torch(model: Path, canary: Path) -> None:
    torch.save({"weights": Payload(canary)}, model / WEIGHTS)


def _pickle_beside(model: Path, canary: Path) -> None:
    (model / WEIGHTS).unlink()
    for name in ("pytorch_model.bin", "model.pt", "model.bin", "model.ckpt"):
        (model / name).write_bytes(pickle.dumps(Payload(canary)))


def _with_header(change: Callable[[dict[str, Any]], Any], model: Path, _canary: Path) -> None:
    """Rewrite the header of the weights."""
    header, data = _read_header(model / WEIGHTS)
    result = change(header)
    text = result if isinstance(result, bytes) else json.dumps(header).encode()
    (model / WEIGHTS).write_bytes(struct.pack("<Q", len(text)) + text + data)


def _read_header(path: Path) -> tuple[dict[str, Any], bytes]:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def _with_length(length: int, model: Path, _canary: Path) -> None:
    path = model / WEIGHTS
    path.write_bytes(struct.pack("<Q", length) + path.read_bytes()[8:])


def _long_header(model: Path, _canary: Path) -> None:
    """A header of 150 MB of spaces."""
    header, data = _read_header(model / WEIGHTS)
    text = json.dumps(header).encode() + b" " * (150 * 2**20)
    (model / WEIGHTS).write_bytes(struct.pack("<Q", len(text)) + text + data)


def _overlap(header: dict[str, Any]) -> None:
    """Let two tensors of one size share their data."""
    by_size: dict[int, dict[str, Any]] = {}
    for entry in (entry for name, entry in header.items() if name != "__metadata__"):
        first, last = entry["data_offsets"]
        other = by_size.setdefault(last - first, entry)
        if other is not entry:
            entry["data_offsets"] = other["data_offsets"]
            return


def _each(header: dict[str, Any], key: str, value: Any) -> None:
    for name, entry in header.items():
        if name != "__metadata__":
            entry[key] = value


def _with_value(value: float, model: Path, _canary: Path) -> None:
    """Write one value into the middle of each tensor."""
    weights = load_file(model / WEIGHTS)
    for tensor in weights.values():
        if tensor.dtype.kind == "f" and tensor.size:
            tensor.reshape(-1)[tensor.size // 2] = value
    save_file(weights, model / WEIGHTS)


def _head_with_value(value: float, model: Path, canary: Path) -> None:
    shutil.move(model / WEIGHTS, model / "body")
    head = next((model / "heads").iterdir())
    shutil.move(head, model / WEIGHTS)
    _with_value(value, model, canary)
    shutil.move(model / WEIGHTS, head)
    shutil.move(model / "body", model / WEIGHTS)


def _replaced(make: Callable[[Path], None], model: Path, _canary: Path) -> None:
    (model / WEIGHTS).unlink()
    make(model / WEIGHTS)


def _sparse(path: Path) -> None:
    """A file of 8 GB without content."""
    path.touch()
    os.truncate(path, 2**33)


WEIGHT_FILES: dict[str, Callable[[Path, Path], None]] = {
    "a pickle": _pickled,
    "a file of torch.save": _saved_by_torch,
    "none, but pickles beside them": _pickle_beside,
    "header of 2^63 bytes": partial(_with_length, 2**63 - 1),
    "header of 2^64 bytes": partial(_with_length, 2**64 - 1),
    "header of 0 bytes": partial(_with_length, 0),
    "header beyond the end": partial(_with_length, 2**30),
    "header of 150 MB": _long_header,
    "overlapping tensors": partial(_with_header, _overlap),
    "all tensors at one place": partial(_with_header, partial(_each, key="data_offsets", value=[0, 4])),
    "tensors beyond the end": partial(_with_header, partial(_each, key="data_offsets", value=[0, 2**40])),
    "negative offsets": partial(_with_header, partial(_each, key="data_offsets", value=[-4, 0])),
    "huge shapes": partial(_with_header, partial(_each, key="shape", value=[2**40, 2**40])),
    "shape that overflows to 0": partial(_with_header, partial(_each, key="shape", value=[2**32, 2**32])),
    "unknown type": partial(_with_header, partial(_each, key="dtype", value="PICKLE")),
    "nested header": partial(_with_header, lambda _: b'{"a":' * 100_000 + b"{}" + b"}" * 100_000),
    "header that is a list": partial(_with_header, lambda _: b"[]"),
    "header that is no text": partial(_with_header, lambda _: b"\xff\xfe" * 100),
    "a tensor named ../../evil": partial(_with_header, lambda h: h.update({"../../evil": h.pop(next(iter(h)))})),
    "NaN": partial(_with_value, float("nan")),
    "infinity": partial(_with_value, float("inf")),
    "NaN in the head": partial(_head_with_value, float("nan")),
    "an empty file": partial(_replaced, Path.touch),
    "a folder": partial(_replaced, Path.mkdir),
    "a pipe that nobody writes": partial(_replaced, os.mkfifo),
    "a link to /dev/zero": partial(_replaced, lambda path: path.symlink_to("/dev/zero")),
    "a link to itself": partial(_replaced, lambda path: path.symlink_to(path.name)),
    "a file of 8 GB of zeros": partial(_replaced, _sparse),
}
"""Hostile weights by name."""


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Return a change of one setting."""
    *outer, last = path.split(".")

    def change(config: dict[str, Any]) -> None:
        for key in outer:
            config = config.setdefault(key, {})
        config[last] = value

    return change


def _choose_evil_head(config: dict[str, Any]) -> None:
    config["heads"]["../../evil"] = config["heads"]["conv"]
    _set("model.head", "../../evil")(config)


CONFIG_FILES: dict[str, bytes | Callable[[dict[str, Any]], None]] = {
    "a pickle": pickle.dumps({"format": "vidamodal-model"}),
    "nested lists": b"[" * 200_000 + b"]" * 200_000,
    "nested objects": b'{"format":' * 100_000 + b"1" + b"}" * 100_000,
    "a number of a million digits": b'{"format": "vidamodal-model", "version": ' + b"9" * 10**6 + b"}",
    "UTF-16": json.dumps({"format": "vidamodal-model"}).encode("utf-16"),
    "no text": bytes(range(256)),
    "empty": b"",
    "head ../../evil": _set("model.head", "../../evil"),
    "head with a null character": _set("model.head", "conv\0"),
    "head that is a module": _set("model.head", "os"),
    "a further head named ../../evil, and chosen": _choose_evil_head,
    "heads is a list": _set("heads", [["conv", {}]]),
    "family that is a module": _set("family", "os"),
    "family that is a list": _set("family", ["segmenter"]),
    "family segmenter without one": _set("family", "segmenter"),
    "segmenter that is a path": lambda config: config.update(
        family="segmenter", segmenter={"head": "../../evil", "settings": {}}
    ),
    "segmenter that is a list": lambda config: config.update(
        family="segmenter", segmenter={"head": ["cumulative"], "settings": {}}
    ),
    "crop of 10^9": _set("model.tokenizer.crop", 10**9),
    "crop of -32": _set("model.tokenizer.crop", -32),
    "crop of 0": _set("model.tokenizer.crop", 0),
    "codes of 10^12": _set("model.tokenizer.codes", 10**12),
    "width of 10^6": _set("model.transformer.width", 10**6),
    "depth of 10^9": _set("model.transformer.depth", 10**9),
    "depth of 10^5": _set("model.transformer.depth", 10**5),
    "heads of 0": _set("model.transformer.heads", 0),
    "window of 0": _set("model.transformer.window", 0),
    "window of -1": _set("model.transformer.window", -1),
    "chunk of 0": _set("model.chunk", 0),
    "temperature NaN": _set("model.temperature", float("nan")),
    "a million unknown keys": lambda config: config["model"].update({f"key{k}": k for k in range(10**6)}),
    "version 2": _set("version", 2),
}
"""Hostile config.json files by name, as content or as a change."""

YAML_FILES: dict[str, str] = {
    "a tag that calls os.system": "name: !!python/object/apply:os.system ['touch CANARY']\n",
    "a tag that creates an object": "!!python/object/new:os.system [touch CANARY]\n",
    "a tag that imports": "name: !!python/name:os.system\n",
    "an unknown tag": "name: !evil x\n",
    "aliases that expand to a billion": "a0: &a0 [x]\n"
    + "".join(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]\n" for k in range(1, 10)),
    "nested lists": "name: " + "[" * 20_000 + "]" * 20_000 + "\n",
    "nested mappings": "".join(" " * k + "a:\n" for k in range(5000)),
    "an alias of itself": "stages: &s\n  - *s\n",
    "a mapping in itself": "model: &m\n  family: amodal\n  network: *m\n",
    "base that is the file": "base: run.yaml\n",
    "base in /etc": "base: ../../../../../../etc/passwd\n",
    "base that is a folder": "base: .\n",
    "base with a null character": 'base: "a\\0b"\n',
    "base that is a list": "base: [a]\n",
    "a list": "- 1\n",
    "several documents": "name: a\n---\nname: b\n",
    "a key that is a list": "? [a]\n: 1\n",
    "a key that is a number": "1: 2\n",
    "width of 10^9": "model: {family: amodal, network: {transformer: {width: 1000000000}}}\n",
    "steps that are text": "stages: [{kind: amodal, steps: a}]\n",
    "output with a null character": 'output: "a\\0b"\n',
    "output in a file": "output: PLACE/run.yaml/x\n",
    "family that is a path": "model: {family: ../../evil}\n",
    "kind that is a module": "stages: [{kind: os}]\n",
    "init that is a path": "init: ../../evil\n",
    "worlds with a null character": 'worlds: "a\\0b"\n',
}
"""Hostile training configs by name. CANARY and PLACE are replaced by the paths of the canary and the config."""


def _write_json(content: bytes | Callable[[dict[str, Any]], Any], model: Path, _canary: Path) -> None:
    path = model / "config.json"
    if not isinstance(content, bytes):
        config = json.loads(path.read_bytes())
        content(config)
        content = json.dumps(config).encode()
    path.write_bytes(content)


def _write_yaml(text: str, folder: Path, canary: Path) -> None:
    (folder / "run.yaml").write_text(text.replace("CANARY", str(canary)).replace("PLACE", str(folder)))


def _pickle_as_setting(setting: str, folder: Path, canary: Path) -> None:
    evil = folder / "evil"
    evil.mkdir()
    for name in ("model.safetensors", "pytorch_model.bin", "worlds.jsonl", "meshes.safetensors", "config.json"):
        (evil / name).write_bytes(pickle.dumps(Payload(canary)))
    with (folder / "run.yaml").open("a") as file:
        file.write(f"{setting}: {evil}\n")


def _change_json(choose: random.Random, model: Path, _canary: Path) -> None:
    path = model / "config.json"
    config = json.loads(path.read_bytes())
    _replace_random(config, choose)
    path.write_text(json.dumps(config))


def _change_yaml(choose: random.Random, folder: Path, _canary: Path) -> None:
    import yaml

    path = folder / "run.yaml"
    config = yaml.safe_load(path.read_text())
    _replace_random(config, choose)
    config["output"] = str(folder / "run")
    stages = config["stages"] if isinstance(config.get("stages"), list) else []
    for stage in stages:
        if isinstance(stage, dict) and stage.get("steps") == LONG:  # a long training harms nobody; 3 steps show as much
            stage["steps"] = 3
    path.write_text(yaml.safe_dump(config))


def _replace_random(config: Any, choose: random.Random) -> None:
    """Replace a setting at random depth by a hostile value."""
    place = config
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = choose.choice(keys)
        if isinstance(place[key], dict | list) and place[key] and choose.random() < 0.85:
            place = place[key]
            continue
        place[key] = choose.choice(VALUES)
        return


def _damage_header(choose: random.Random, model: Path, _canary: Path) -> None:
    path = choose.choice(sorted(model.rglob("*.safetensors")))
    data = bytearray(path.read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    for _ in range(choose.choice((1, 2, 8))):
        data[choose.randrange(8 + length)] = choose.randrange(256)
    path.write_bytes(data)
