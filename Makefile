# Two commands do everything, set-up included:
#   make course   run the whole course; executed notebooks, figures and results in build/course/
#   make test     run all tests
# Another Python: make course PYTHON=python3.12
# Packages from a stick instead of the network: make course WHEELS=/path/to/wheelhouse

PYTHON ?= python3
# Versions the course was last run with; an own choice: make course LOCK=
LOCK ?= requirements/$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])').lock
WHEELS ?=
INSTALL := -m pip install --quiet $(if $(WHEELS),--no-index --find-links $(WHEELS))
PYTHON_TFA ?= python3.11
# Two tests at a time, each on one core.
ONE_CORE := TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 OMP_NUM_THREADS=1
PYTEST := -m pytest -n 2 --dist worksteal --durations=20
VENV := .venv
VENV_TFA := .venv-tfa

.PHONY: course test test-tfa walk gpu-check lint notebooks book data student teacher nbgrader slides wheelhouse lock clean

course: $(VENV)/.installed
	$(VENV)/bin/python -m imap_keras.course --output-dir build/course

test: $(VENV)/.installed
	$(ONE_CORE) $(VENV)/bin/python $(PYTEST)

# The same tests with TensorFlow 2.15, Keras 2.15 and tensorflow-addons.
test-tfa: $(VENV_TFA)/.installed
	$(ONE_CORE) $(VENV_TFA)/bin/python $(PYTEST)

# JupyterLab and a browser (Debian: apt install chromium): the tour, and exercises of the student's edition.
walk: $(VENV)/.installed
	$(ONE_CORE) IMAP_KERAS_WALK=1 $(VENV)/bin/python -m pytest -v tests/test_walk.py

# Notebooks 00, 03 and 05 on whatever device TensorFlow sees, against the committed results; seconds an epoch.
gpu-check: $(VENV)/.installed
	$(VENV)/bin/python benchmarks/gpu_check.py

lint: $(VENV)/.installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

# Make the .ipynb from their .py sources, outputs in.
notebooks: $(VENV)/.installed
	$(VENV)/bin/python notebooks/build.py

# Notebooks, glossary, papers and every public name of the library as linked pages: build/book/index.html.
book: $(VENV)/.book
	$(VENV)/bin/python docs/build.py

# Fetch all real data ahead of time, for a class without network.
data: $(VENV)/.installed
	$(VENV)/bin/python -m imap_keras.datasets

# Editions of the notebooks, from their sources, into build/: what a student gets, what a teacher gets (solutions,
# rubrics, hints, minutes), and the source folder of nbgrader (pip install '.[nbgrader]').
student teacher nbgrader: $(VENV)/.installed
	$(VENV)/bin/python -m imap_keras.course --edition $@

# Every figure with what to see on it, a page of slides for each notebook, into build/slides/.
slides: $(VENV)/.installed
	$(VENV)/bin/python -m imap_keras.course --slides

# All packages in a folder for a stick, annoy built: a laptop then needs neither network nor compiler.
wheelhouse:
	$(PYTHON) -m pip wheel --quiet --wheel-dir build/wheelhouse --constraint $(LOCK) \
	'.[course,test,book]' hatchling editables
	@du -sh build/wheelhouse

# Write the versions of today for this Python into requirements/.
lock:
	$(PYTHON) requirements/lock.py

# Installed once, and again only when the dependencies change.
$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
	|| { echo "Python 3.11, 3.12 or 3.13 is needed, $(PYTHON) is another: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python $(INSTALL) $(if $(LOCK),--constraint $(LOCK)) --editable '.[course,test]'
	@touch $@

$(VENV)/.book: $(VENV)/.installed
	$(VENV)/bin/python $(INSTALL) $(if $(LOCK),--constraint $(LOCK)) --editable '.[book]'
	@touch $@

$(VENV_TFA)/.installed: pyproject.toml
	@$(PYTHON_TFA) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	|| { echo "tensorflow-addons needs Python 3.11: make $(MAKECMDGOALS) PYTHON_TFA=/path/to/python3.11"; exit 1; }
	$(PYTHON_TFA) -m venv $(VENV_TFA)
	$(VENV_TFA)/bin/python -m pip install --quiet --editable '.[course,test,tfa]'
	@touch $@

clean:
	rm -rf build
