"""Evaluates a run, an export or a config with weights, prints one table and writes it as JSON.

ppface eval output/blazeface/20260101-120000
ppface eval export/blazeface
ppface eval -c detection/blazeface_1000e --weights blazeface_1000e.pdparams
ppface eval output/adaface/20260101-120000 -c evaluation/ijbc
"""

import json
from pathlib import Path

from ppface.core.errors import UserError
from ppface.core.run import cli


def options() -> cli.Parser:
    parser = cli.parser(__doc__)
    parser.add_argument("model", nargs="?", help="the folder of a run, a checkpoint, an export or a released model, builtin or zoo:NAME")
    cli.add_weights(parser, "for the config or instead of the run's best")
    parser.add_argument("--json", metavar="FILE", help="where to write the result (default: evaluation.json in the model's folder)")
    return parser


def arguments():
    parser = options()
    args = parser.parse_args()
    if not (args.model or args.config):
        parser.error("expected the folder of a run or an export, or -c CONFIG --weights FILE")
    return args


def main() -> int:
    args = arguments()
    from ppface import predict
    from ppface.core.config.run_config import config_file
    from ppface.core.config.spec import load_config
    from ppface.engine.evaluation import check_methods, measure, no_model
    from ppface.predict.runtimes import is_export

    source, file = Path(args.model or args.config), args.config or args.model
    with config_file(Path(file)) as stored:
        config = load_config(stored, args.override)
    if not config["evaluators"]:
        raise UserError(f"{file}: expected evaluators in the config, found none: give a config that has some with -c")
    if is_export(source):
        model = predict.load_predictor(source)
    elif config["model"] or args.model:
        weights = args.weights or (args.model if args.config or not source.is_file() else None)
        live = predict.open_model(config if config["model"] else args.model, weights, names=args.names)
        model = live.model.predictor()
    else:
        model = no_model
    evaluators = [evaluator() for evaluator in config["evaluators"]]
    check_methods(evaluators)
    metrics = measure(evaluators, model)
    width = max(map(len, metrics), default=0)
    print("\n".join(f"{name:<{width}}  {value:.4f}" for name, value in metrics.items()))
    target = Path(args.json) if args.json else (source / "evaluation.json" if source.is_dir() else None)
    if target:
        record = {"model": str(source), "config": str(file), "overrides": args.override, "metrics": metrics}
        try:
            target.write_text(json.dumps(record, indent=1), encoding="utf-8")
        except OSError as error:  # a full disk names no file
            raise UserError(f"{target}: cannot write the values: {error.strerror}; choose another file with --json") from None
    return 0
