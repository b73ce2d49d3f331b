# syntax=docker/dockerfile:1
# Two images from one file: docker build --target gateway . and docker build --target worker .

FROM python:3.11-slim-bookworm AS base
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PYTHONPATH=/app PATH=/opt/venv/bin:$PATH
# One fixed user in both images, because they share the files of the store. The folders are made here so that
# a fresh volume mounted over them belongs to that user.
RUN groupadd --gid 10001 secateur \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin secateur \
    && install --directory --owner=10001 --group=10001 /data /data/store /data/scratch /data/uploads

FROM base AS source
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/venv
WORKDIR /source
COPY pyproject.toml constraints.txt no-deps.txt README.md LICENSE ./
COPY secateur secateur
COPY screening screening
COPY reporting reporting
COPY engine engine
COPY infra infra
COPY service service
COPY workers workers
COPY stack stack

FROM source AS gateway-packages
RUN pip install --constraint constraints.txt ".[gateway,tracing]"

FROM source AS worker-packages
RUN pip install --constraint constraints.txt ".[worker,tracing]" && pip install --no-deps --requirement no-deps.txt

FROM base AS gateway
COPY --from=gateway-packages /opt/venv /opt/venv
COPY --from=source /source /app
WORKDIR /data
USER 10001:10001
ENV SECATEUR_DATA_DIR=/data SECATEUR_HOST=0.0.0.0 SECATEUR_PORT=8000 SECATEUR_LOG_FORMAT=json
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/live', timeout=4)"]
CMD ["python", "-m", "service"]

FROM base AS worker
# What the sandbox of jobs is made with (docs/security.md). The release of the base image fixes its version.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends libseccomp2 && rm -rf /var/lib/apt/lists/*
COPY --from=worker-packages /opt/venv /opt/venv
COPY --from=source /source /app
WORKDIR /data
USER 10001:10001
# Matplotlib wants a folder for its font cache; there is no home.
ENV SECATEUR_DATA_DIR=/data SECATEUR_LOG_FORMAT=json MPLCONFIGDIR=/tmp/matplotlib
# Longer than the gateway's: the row that it looks for is written once a sweep.
HEALTHCHECK --interval=30s --timeout=15s --start-period=60s --retries=3 \
    CMD ["python", "-m", "infra", "seen"]
CMD ["python", "-m", "workers", "--queues", "checks,jobs"]
