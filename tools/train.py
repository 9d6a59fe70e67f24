"""Trains a model from a config, or goes on with a run: python tools/train.py -c configs/quickstart/detection.yml"""

import sys
from pathlib import Path

from ppface.core import cli


def arguments():
    parser = cli.parser(__doc__)
    parser.add_argument("--resume", metavar="RUN", help="the folder of a run to go on with, from its last checkpoint")
    parser.add_argument("--folder", help="the folder of the new run (default: output/<config>/<date>)")
    args = parser.parse_args()
    if (args.config is None) == (args.resume is None):
        parser.error("expected -c CONFIG or --resume RUN, one of them")
    return args


def main() -> int:
    args = arguments()
    from ppface.core.spec import build_model, load_config
    from ppface.engine import devices, run
    from ppface.engine.checkpoint import CheckpointFolder

    source = Path(args.config or Path(args.resume) / run.CONFIG)
    config = load_config(source, args.override)
    run.check_trainable(config)
    device = devices.pick(config["device"])
    count = devices.processes(config["processes"], device)
    if count > 1:
        return devices.launch([sys.executable, __file__, *sys.argv[1:]], count)

    world = devices.World(device, config["seed"])
    loader = run.open_data(config, world)
    folder = Path(args.resume or "")
    if world.rank == 0 and not args.resume:
        folder = run.new_folder(config, source.stem, args.folder)
        run.open_folder(folder, config)
    model = build_model(config)
    if config["weights"] and not args.resume:
        from ppface.nets.weights import load_weights
        from ppface.predict import weights_file

        load_weights(model, weights_file(config["weights"]))
    trainer = run.assemble(config, world, folder, model, loader)
    if args.resume:
        trainer.resume(CheckpointFolder(folder / "checkpoints").find("last"))
        if world.rank == 0:
            run.open_folder(folder, config)  # only now: a config that does not fit the run must not replace the one that does
    trainer.train()
    return 0


if __name__ == "__main__":
    cli.run(main)
