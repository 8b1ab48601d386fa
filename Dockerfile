# The image of api, worker and projector: the package, and the exact versions in requirements-image.lock.
FROM python:3.13-slim AS build
WORKDIR /build
RUN python -m venv /venv
COPY requirements-image.lock ./
RUN /venv/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements-image.lock
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY setup.py MANIFEST.in ./
COPY examples examples
RUN /venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation --no-index .

FROM python:3.13-slim
RUN useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin orchestrator \
    && install -d -o orchestrator -g orchestrator /data
COPY --from=build /venv /venv
COPY examples /app/examples
WORKDIR /app
USER orchestrator
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 ORCHESTRATOR_DATA_DIR=/data
VOLUME /data
CMD ["orchestrator", "--help"]
