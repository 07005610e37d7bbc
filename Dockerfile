# Two images: `gpu` builds and runs TensorRT-LLM engines on the release image of that library; `cpu`
# runs the whole pipeline with OpenVINO. docs/a30.md and the README show how they are run. In both,
# the package lies in a virtual environment of its own, made in a stage that is thrown away.
# `--build-arg PIP_INDEX_URL=...` names a mirror of PyPI.
ARG GPU_BASE=nvcr.io/nvidia/tensorrt-llm/release:1.2.1
ARG CPU_BASE=docker.io/library/python:3.12-slim-bookworm

# What is installed before the package itself, so that a change of code leaves that layer alone.
FROM ${CPU_BASE} AS requirements
WORKDIR /requirements
COPY pyproject.toml ./
RUN python3 -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
    extras = project["optional-dependencies"]; \
    base = project["dependencies"] + extras["ray"] + extras["serve"]; \
    print(*base, sep="\n", file=open("base.txt", "w")); \
    print(*extras["cpu"], sep="\n", file=open("cpu.txt", "w"))'

FROM ${CPU_BASE} AS wheel
ARG PIP_INDEX_URL
RUN python3 -m pip install --no-cache-dir hatchling==1.27.0
WORKDIR /source
COPY . .
RUN python3 -m hatchling build --target wheel --directory /wheel

FROM ${CPU_BASE} AS cpu-environment
ARG PIP_INDEX_URL
RUN python3 -m venv --without-pip /opt/enginebench
COPY container/constraints.txt /build/
COPY --from=requirements /requirements /build/requirements
RUN python3 -m pip --python /opt/enginebench/bin/python install --no-cache-dir \
    --constraint /build/constraints.txt \
    --requirement /build/requirements/base.txt --requirement /build/requirements/cpu.txt
COPY --from=wheel /wheel /build/wheel
RUN python3 -m pip --python /opt/enginebench/bin/python install --no-cache-dir --no-deps \
    /build/wheel/*.whl

# Here the environment lies on top of the base's packages and sees them. Each of them is held at the
# version it has, so that pip adds what is missing, or fails; afterwards none may have changed.
FROM ${GPU_BASE} AS gpu-environment
# The wheel of LoadGen decides the round; ModelOpt is added only where the base has none.
ARG LOADGEN=6.0.17
ARG MODELOPT=0.37.0
ARG PIP_INDEX_URL
RUN python3 -m venv --without-pip --system-site-packages /opt/enginebench
COPY container/base_packages.py /build/
RUN python3 /build/base_packages.py hold "nvidia-modelopt==${MODELOPT}" > /build/held.txt
COPY --from=requirements /requirements/base.txt /build/
RUN PIP_CONSTRAINT=/build/held.txt /opt/enginebench/bin/python -m pip install --no-cache-dir \
    --requirement /build/base.txt "mlcommons-loadgen==${LOADGEN}" nvidia-ml-py nvidia-modelopt
COPY --from=wheel /wheel /build/wheel
RUN PIP_CONSTRAINT='' /opt/enginebench/bin/python -m pip install --no-cache-dir --no-deps \
    /build/wheel/*.whl \
    && /opt/enginebench/bin/python /build/base_packages.py compare /build/held.txt

# Any user may run it (`--user`), one that has no name here too: what is written lies in folders that
# everyone may write to, and libraries that ask for the user's name are given one.
FROM ${GPU_BASE} AS gpu
RUN useradd --uid 10001 --no-create-home --home-dir /home/enginebench enginebench \
    && mkdir -p /home/enginebench /models /store /work \
    && chmod 1777 /home/enginebench /models /store /work
COPY --from=gpu-environment /opt/enginebench /opt/enginebench
ENV PATH=/opt/enginebench/bin:${PATH} \
    HOME=/home/enginebench USER=enginebench LOGNAME=enginebench \
    HF_HOME=/models ENGINEBENCH_HOME=/store RAY_worker_niceness=0
# The Hugging Face library's cache, to read; all that we keep; results, and what a run is given.
VOLUME ["/models", "/store", "/work"]
WORKDIR /work
USER 10001
ENTRYPOINT ["enginebench"]
CMD ["--help"]
ARG GPU_BASE
LABEL org.opencontainers.image.title="enginebench" \
    org.opencontainers.image.description="Compiles Llama checkpoints into TensorRT-LLM engines and measures them with MLPerf LoadGen." \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.base.name="${GPU_BASE}"

FROM ${CPU_BASE} AS cpu
RUN useradd --uid 10001 --no-create-home --home-dir /home/enginebench enginebench \
    && mkdir -p /home/enginebench /models /store /work \
    && chmod 1777 /home/enginebench /models /store /work
COPY --from=cpu-environment /opt/enginebench /opt/enginebench
ENV PATH=/opt/enginebench/bin:${PATH} \
    HOME=/home/enginebench USER=enginebench LOGNAME=enginebench \
    HF_HOME=/models ENGINEBENCH_HOME=/store RAY_worker_niceness=0
VOLUME ["/models", "/store", "/work"]
WORKDIR /work
USER 10001
ENTRYPOINT ["enginebench"]
CMD ["--help"]
ARG CPU_BASE
LABEL org.opencontainers.image.title="enginebench" \
    org.opencontainers.image.description="Compiles Llama checkpoints into OpenVINO engines and measures them with MLPerf LoadGen." \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.base.name="${CPU_BASE}"
