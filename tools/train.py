"""Trains a model from a config, resumes a run, or reproduces one.

python tools/train.py -c configs/quickstart/detection.yml
python tools/train.py --resume output/detection/20260101-120000
python tools/train.py --reproduce output/detection/20260101-120000

Ctrl-C or SIGTERM: the step is finished and a checkpoint saved, exit code 130 or 143; a second signal stops at once.
"""

import sys
from pathlib import Path

from ppface.core.run import cli


def arguments():
    parser = cli.parser(__doc__)
    parser.add_argument("--resume", metavar="RUN", help="the folder of a run to resume from its last checkpoint")
    parser.add_argument("--reproduce", metavar="DIR", help="a run, a checkpoint or an export: start a new run with its recorded config")
    parser.add_argument("--folder", help="the folder of the new run (default: output/<config>/<date>)")
    args = parser.parse_args()
    if [args.config, args.resume, args.reproduce].count(None) != 2:
        parser.error("expected exactly one of -c CONFIG, --resume RUN and --reproduce DIR")
    return args


def main() -> int:
    args = arguments()
    from ppface.core.config.spec import build_model, load_config
    from ppface.engine import devices, provenance, run

    with provenance.source(args.config, args.resume, args.reproduce) as (file, recorded):
        config = load_config(file, [*recorded.pop("overrides", []), *args.override])
    run.check_trainable(config)
    device = devices.pick(config["device"])
    count = devices.processes(config["processes"], device)
    if count > 1:
        return devices.launch([sys.executable, __file__, *sys.argv[1:]], count)

    world = run.World(device, config["seed"])
    loader = run.open_data(config, world)
    about = provenance.environment(config, recorded.get("name", file.stem), loader.digest())
    folder = run.claim(Path(args.resume) if args.resume else run.new_folder(config, world, about, args.folder), world)
    model = build_model(config)
    if config["weights"] and not args.resume:
        from ppface.predict import load_into

        load_into(model, config["weights"], config["weight_names"])
    trainer = run.assemble(config, world, folder, model, loader, about)
    if args.resume:
        recorded = run.resume(trainer, config, about)
    if world.rank == 0:
        provenance.compare(recorded, about)
    trainer.train()
    return 0


if __name__ == "__main__":
    cli.run(main)
