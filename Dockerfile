# syntax=docker/dockerfile:1
# The gateway in a container: `--target cpu` (the default) or `--target cuda`. No model is in it: mount
# a folder at /models, or let it serve the embedded ones. docs/install.md, "Containers".
ARG PYTHON=3.12-slim-bookworm

FROM python:${PYTHON} AS build
WORKDIR /opt/rerank-gateway
# Where torch comes from beside PyPI. PyPI's own build brings CUDA, which a CPU image has no use for:
# name the index that pytorch.org gives for CPU builds, and the image is gigabytes smaller.
ARG TORCH_INDEX=""
# The compiler stays behind in this stage; what it makes of shards/native goes along.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY scripts/constraints.txt scripts/
COPY configs configs
COPY systemd systemd
COPY gateway gateway
COPY shards shards
RUN python -m venv .venv \
    && .venv/bin/pip install --no-cache-dir --constraint scripts/constraints.txt pip \
    && .venv/bin/pip install --no-cache-dir --constraint scripts/constraints.txt \
        ${TORCH_INDEX:+--extra-index-url "${TORCH_INDEX}"} ./shards/models '.[serve]' \
    && .venv/bin/python -m compileall -q .venv gateway shards

FROM python:${PYTHON} AS base
RUN groupadd --system --gid 10001 rerank \
    && useradd --system --uid 10001 --gid rerank --home-dir /var/lib/rerank-gateway --create-home rerank
ENV PATH=/opt/rerank-gateway/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 PYTHONFAULTHANDLER=1 \
    HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1 HF_HOME=/var/lib/rerank-gateway/hub \
    GATEWAY_HOST=0.0.0.0 GATEWAY_PORT=8080 GATEWAY_LOG_FORMAT=json
USER 10001:10001
WORKDIR /var/lib/rerank-gateway
EXPOSE 8080
# SIGTERM drains for drain_seconds (30): give `docker stop` 60 seconds.
STOPSIGNAL SIGTERM
# The exit code of `gateway status` is 0 or 1 while something scores. Loads may take minutes.
HEALTHCHECK --interval=15s --timeout=5s --start-period=10m --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/readyz', timeout=4)"]
# Keys are needed on an address that others reach: mount /etc/rerank-gateway with gateway.toml and keys.
ENTRYPOINT ["gateway"]
CMD ["serve", "--config", "/etc/rerank-gateway/gateway.toml"]

FROM base AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility CUDA_MODULE_LOADING=LAZY
COPY --from=build /opt/rerank-gateway/.venv /opt/rerank-gateway/.venv

FROM base AS cpu
COPY --from=build /opt/rerank-gateway/.venv /opt/rerank-gateway/.venv
