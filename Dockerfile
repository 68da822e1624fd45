# The gateway as a container: non-root, no write to its own file system, no shell needed.
#
#   docker build -t oauth-gateway .
#   docker run --read-only --cap-drop ALL -p 8080:8080 \
#     -v "$PWD/config/gateway.yaml:/etc/oauth-gateway/gateway.yaml:ro" oauth-gateway
#
# Without a container engine, scripts/image_steps.py runs the same steps in a folder. For a base that never changes give
# a digest: --build-arg PYTHON_IMAGE=python:3.13-slim@sha256:…

ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /opt/checkout
# The way of a request is compiled (docs/decisions/0024); --build-arg COMPILED=0 leaves it as Python.
ARG COMPILED=1
RUN [ "$COMPILED" = 0 ] || command -v gcc >/dev/null \
 || (apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev)
# What builds: the build backend and the compiler of Python, locked as well, stay behind in this stage.
COPY requirements-build.lock ./
RUN python -m venv /opt/tools \
 && /opt/tools/bin/python -m pip install --require-hashes -r requirements-build.lock
# What runs: every package by version and hash, in an environment without pip.
COPY requirements.lock ./
RUN python -m venv --without-pip /opt/oauth-gateway \
 && python -m pip --python /opt/oauth-gateway/bin/python install --no-compile --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY gateway ./gateway
# Byte code by the hash of its source: the same from each build, and none is looked for or written at run time.
RUN HATCH_BUILD_HOOK_ENABLE_MYPYC=$COMPILED /opt/tools/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir /opt/wheel . \
 && python -m pip --python /opt/oauth-gateway/bin/python install --no-compile --no-deps --no-index /opt/wheel/*.whl \
 && /opt/oauth-gateway/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/oauth-gateway/lib

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="oauth-gateway" \
      org.opencontainers.image.description="An async reverse proxy that lets no request without the right OAuth 2 token reach your HTTP API" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/oauth-gateway /opt/oauth-gateway
# A folder: its *.yaml files are merged, so a mounted ConfigMap works as it is.
ENV PATH=/opt/oauth-gateway/bin:$PATH \
    OAUTH_GATEWAY_CONFIG=/etc/oauth-gateway \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A number, so that Kubernetes can see that it is not root (runAsNonRoot).
USER 65532:65532
WORKDIR /etc/oauth-gateway
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["oauth-gateway", "health"]
ENTRYPOINT ["oauth-gateway"]
CMD ["serve"]
