# Two commands do everything on a fresh machine: `make quickstart` and `make test`.
PYTHON ?= python3
VENV ?= .venv
EXTRA ?= cpu
OUT ?= output/quickstart
BIN := $(VENV)/bin
HALF := $(shell n=$$(nproc); echo $$((n > 1 ? n / 2 : 1)))# of the cores, for each of two commands at once
WORKERS := $(shell echo $$(($$(nproc) + 1)))# of the tests, which often wait for other processes
SHELL := /bin/bash -o pipefail

.PHONY: quickstart detection recognition test faults lint wheel-check clean

# without --no-compile pip takes half as long again, to compile packages of which a run imports few
$(VENV)/ready: setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -e ".[$(EXTRA)]"
	touch $@

# compiled here, as the warnings of a compilation would be errors in the tests; some packages bring files that are no Python 3
$(VENV)/ready-dev: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -e ".[$(EXTRA),dev]"
	-$(BIN)/python -W ignore -m compileall -qq -j 0 $(VENV)/lib
	touch $@

# a detector and a recognizer side by side: each command that uses one core alone then leaves none idle
quickstart: $(VENV)/ready
	rm -rf $(OUT)
	$(MAKE) --no-print-directory --jobs 2 detection.shown recognition.shown
	@echo "Runs and static models are under $(OUT); what the detector found in detection/found, the ROC curve in recognition/roc.png"

%.shown:
	@PYTHONUNBUFFERED=1 OMP_NUM_THREADS=$(HALF) $(MAKE) --no-print-directory $* 2>&1 | sed --unbuffered 's/^/$* | /'

detection: HERE := $(OUT)/detection
detection:
	$(BIN)/python tools/train.py -c configs/quickstart/detection.yml --folder $(HERE)/run -o processes=1
	$(BIN)/python tools/export_model.py $(HERE)/run --out $(HERE)/export
	$(BIN)/python tools/eval.py $(HERE)/export
	$(BIN)/python tools/draw_faces.py --out $(HERE)/pictures --count 12
	$(BIN)/python deploy/python/infer.py --model $(HERE)/export --input $(HERE)/pictures --output $(HERE)/found

recognition: HERE := $(OUT)/recognition
recognition:
	$(BIN)/python tools/train.py -c configs/quickstart/recognition.yml --folder $(HERE)/run \
		-o processes=1 train.batch_size=16 trainer.epochs=4 'optimizer.learning_rate={base: 0.12, warmup_steps: 80}'
	$(BIN)/python tools/export_model.py $(HERE)/run --out $(HERE)/export
	$(BIN)/python tools/eval.py $(HERE)/export -o evaluators.0.save_dir=$(HERE)
	$(BIN)/python tools/draw_faces.py --out $(HERE)/people --people 4 --count 3 --size 64 64 --difficulty 0.3
	$(BIN)/python deploy/python/infer.py --model $(HERE)/export --threshold 0.5 --compare $(HERE)/people/0000/000[01].jpg
	$(BIN)/python deploy/python/infer.py --model $(HERE)/export --threshold 0.5 --compare $(HERE)/people/000[01]/0000.jpg

test: $(VENV)/ready-dev
	$(BIN)/python -m pytest -n $(WORKERS) --ignore tests/faults

# a few kills, full disks, signals and hostile files each; `python tests/faults/run.py` injects thousands
faults: $(VENV)/ready-dev
	$(BIN)/python -m pytest -n 2 tests/faults

lint: $(VENV)/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tools/check_config.py --quiet $$(find configs -name '*.yml')

# the wheel in an empty environment, outside the sources
wheel-check: $(VENV)/ready
	$(BIN)/python tests/faults/wheel.py

clean:
	rm -rf $(VENV) output
