# Two commands do everything on a fresh machine: `make quickstart` and `make test`.
PYTHON ?= python3
VENV ?= .venv
EXTRA ?= cpu
OUT ?= output/quickstart
BIN := $(VENV)/bin

.PHONY: quickstart test lint benchmark clean

$(VENV)/ready: setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[$(EXTRA),dev]"
	touch $@

quickstart: $(VENV)/ready
	rm -rf $(OUT)
	$(BIN)/python tools/train.py -c configs/quickstart/detection.yml --folder $(OUT)/run
	$(BIN)/python tools/export_model.py $(OUT)/run --out $(OUT)/export
	$(BIN)/python tools/eval.py $(OUT)/export
	$(BIN)/python tools/draw_faces.py --out $(OUT)/pictures --count 12
	$(BIN)/python deploy/python/infer.py --model $(OUT)/export --input $(OUT)/pictures --output $(OUT)/found
	@echo "The run is in $(OUT)/run, the static model in $(OUT)/export, pictures with what it found in $(OUT)/found"

test: $(VENV)/ready
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tools/check_config.py --quiet $$(find configs -name '*.yml')

clean:
	rm -rf $(VENV) output
