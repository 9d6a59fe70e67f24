"""Trains a model from a config, resumes a run, or reproduces one.

ppface train -c quickstart/detection
ppface train --resume output/detection/20260101-120000
ppface train --reproduce output/detection/20260101-120000
ppface train -c mine.yml --weights output/detection/20260101-120000    # fine-tune

Ctrl-C or SIGTERM: the step is finished and a checkpoint saved, exit code 130 or 143; a second signal stops at once.
"""

import contextlib
from pathlib import Path
from typing import Any

from ppface.core.run import cli


def options() -> cli.Parser:
    parser = cli.parser(__doc__)
    parser.add_argument("--resume", metavar="RUN", help="the folder of a run to resume from its last checkpoint")
    parser.add_argument("--reproduce", metavar="DIR", help="a run, a checkpoint or an export: start a new run with its recorded config")
    cli.add_weights(parser, "to start from: arrays that fit are loaded, the others keep their initial values")
    parser.add_argument("--folder", help="the folder of the new run (default: output/<config>/<date>)")
    return parser


def arguments():
    parser = options()
    args = parser.parse_args()
    if [args.config, args.resume, args.reproduce].count(None) != 2:
        parser.error("expected exactly one of -c CONFIG, --resume RUN and --reproduce DIR")
    if (args.weights and args.resume) or (args.names and not args.weights):
        parser.error("--weights cannot be combined with --resume, which continues from the run's own checkpoint; --names needs --weights")
    return args


def main() -> int:
    args = arguments()
    from ppface.core.config.spec import build_model, load_config
    from ppface.engine import devices, provenance, run
    from ppface.engine.refused import removed_if_refused
    from ppface.predict import load_start

    with provenance.source(args.config, args.resume, args.reproduce) as (file, recorded):
        config = load_config(file, [*recorded.pop("overrides", []), *args.override])
    if args.weights:
        config.replace("--weights", weights=args.weights, weight_names=args.names)
    run.check_trainable(config)
    device = devices.pick(config["device"])
    if (count := devices.processes(config["processes"], device)) > 1:
        return devices.launch(cli.same_command(), count)
    world = run.World(device, config["seed"])
    loader = run.open_data(config, world, args.resume)
    model = build_model(config)
    start = None if args.resume else load_start(model, config, run.about_classes(loader))
    about = provenance.environment(config, recorded.get("name", file.stem), loader.digest(), start)
    existed = args.folder is not None and Path(args.folder).exists()
    folder = run.claim(Path(args.resume) if args.resume else run.new_folder(config, world, about, args.folder), world)
    trainer: Any = None
    new = removed_if_refused(folder, world, existed, lambda: trainer is not None and trainer.step > 0)
    with contextlib.nullcontext() if args.resume else new:
        trainer = run.assemble(config, world, folder, model, loader, about)
        recorded = run.resume(trainer, config, about) if args.resume else recorded
        if world.rank == 0:
            provenance.compare(recorded, about)
        trainer.train()
    return 0
