# The workbench with its locked dependencies, for a user without rights.
#   docker build -t workbench .                    CPUs
#   docker build -t workbench:gpu --target gpu .   the same with CUDA, for NVIDIA's container toolkit
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS dependencies
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
RUN python3 -m venv /opt/workbench
COPY requirements.lock .
# The lock also holds what development needs; the image does without, and without packages' own tests.
RUN /opt/workbench/bin/pip install --quiet --require-hashes -r requirements.lock \
 && /opt/workbench/bin/pip uninstall --quiet --yes \
      execnet hypothesis iniconfig mypy pandas-stubs pluggy pytest pytest-xdist ruff \
 && find /opt/workbench -type d \( -name tests -o -name __pycache__ \) -prune -exec rm -rf {} +
COPY pyproject.toml README.md LICENSE ./
COPY workbench workbench
RUN /opt/workbench/bin/pip install --quiet --no-build-isolation --no-deps . \
 && /opt/workbench/bin/python -m compileall -q /opt/workbench/lib

FROM dependencies AS cuda
# Of jax's own version, which pins what it needs of CUDA.
RUN /opt/workbench/bin/pip install --quiet \
      "jax[cuda13]==$(/opt/workbench/bin/python -c 'import jax; print(jax.__version__)')"

FROM ${PYTHON} AS base
RUN useradd --uid 10001 --no-create-home --home-dir /tmp workbench \
 && install -d -o workbench -g workbench /runs /artifacts
ENV PATH=/opt/workbench/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 MPLCONFIGDIR=/tmp/matplotlib \
    MLFLOW_DISABLE_TELEMETRY=true WORKBENCH_HOME=/runs
WORKDIR /workbench
COPY studies studies
COPY experiments experiments
ENTRYPOINT ["workbench"]
CMD ["--help"]

FROM base AS gpu
COPY --from=cuda /opt/workbench /opt/workbench
USER workbench

FROM base AS cpu
COPY --from=dependencies /opt/workbench /opt/workbench
USER workbench
