"""The commands of `ppface`, a module each: `options()` makes the parser, `main()` parses the arguments and returns the exit code."""

GROUPS = {
    "train and measure": {
        "train": "train a model from a config, resume a run or reproduce one",
        "eval": "evaluate a run, an export, or a config with weights",
        "check": "check configs: print them resolved, or all of their mistakes",
        "info": "parameters and multiply-adds of a config's model",
    },
    "use a model": {
        "infer": "find or embed faces in pictures, videos or from a camera",
        "extract": "embeddings of a folder's or a list's aligned faces as .npy",
        "export": "write a static model that runs without ppface",
        "zoo": "published weights by name: list, show, download",
        "release": "write config and weights alone, to hand on",
        "meshes": "draw the face meshes of a dense regression branch",
    },
    "people": {
        "gallery": "enrol, search, verify and remove people in an encrypted file",
        "serve": "all of it over HTTP, with keys, limits and a page",
    },
    "prepare data": {
        "data": "statistics of a set of people",
        "align": "align faces by a file of landmarks, for recognition",
        "convert": "convert people between folders, lists and RecordIO",
        "draw": "draw synthetic faces, to try things",
    },
    "this machine": {
        "doctor": "check Paddle, memory, threads and folders for problems",
        "completion": "completion of commands and options in bash or zsh",
    },
}
COMMANDS = [command for group in GROUPS.values() for command in group]
