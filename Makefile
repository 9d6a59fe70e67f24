# Two commands do everything on a fresh machine: `make quickstart` and `make test`.
PYTHON ?= python3
VENV ?= .venv
EXTRA ?= cpu
OUT ?= output/quickstart
BIN := $(VENV)/bin

.PHONY: quickstart test lint wheel-check clean

# without pip takes half as long again, to compile packages of which a run imports few
$(VENV)/ready: setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[$(EXTRA)]"
	touch $@

$(VENV)/ready-dev: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[$(EXTRA),dev]"
	touch $@

quickstart: $(VENV)/ready
	rm -rf $(OUT)
	$(BIN)/python tools/train.py -c configs/quickstart/detection.yml --folder $(OUT)/detection/run
	$(BIN)/python tools/export_model.py $(OUT)/detection/run --out $(OUT)/detection/export
	$(BIN)/python tools/eval.py $(OUT)/detection/export
	$(BIN)/python tools/draw_faces.py --out $(OUT)/detection/pictures --count 12
	$(BIN)/python deploy/python/infer.py --model $(OUT)/detection/export --input $(OUT)/detection/pictures --output $(OUT)/detection/found
	$(BIN)/python tools/train.py -c configs/quickstart/recognition.yml --folder $(OUT)/recognition/run
	$(BIN)/python tools/export_model.py $(OUT)/recognition/run --out $(OUT)/recognition/export
	$(BIN)/python tools/eval.py $(OUT)/recognition/export -o evaluators.0.save_dir=$(OUT)/recognition
	$(BIN)/python tools/draw_faces.py --out $(OUT)/recognition/people --people 4 --count 3 --size 64 64 --difficulty 0.3
	$(BIN)/python deploy/python/infer.py --model $(OUT)/recognition/export --threshold 0.5 \
		--compare $(OUT)/recognition/people/0000/0000.jpg $(OUT)/recognition/people/0000/0001.jpg
	$(BIN)/python deploy/python/infer.py --model $(OUT)/recognition/export --threshold 0.5 \
		--compare $(OUT)/recognition/people/0000/0000.jpg $(OUT)/recognition/people/0001/0000.jpg
	@echo "Runs and static models are under $(OUT); what the detector found in detection/found, the ROC curve in recognition/roc.png"

test: $(VENV)/ready-dev
	$(BIN)/python -m pytest -n 2

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
