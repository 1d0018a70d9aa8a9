# capybeam for one machine, and the sandbox: docs/containers.md. What Dataflow and Flink start is templates/Dockerfile.

FROM python:3.11.15-slim-bookworm AS build
WORKDIR /source
RUN python -m venv /opt/capybeam
ENV PATH=/opt/capybeam/bin:${PATH}
COPY templates/requirements.txt ./
RUN pip install --no-cache-dir --require-hashes --no-deps --requirement requirements.txt
COPY pyproject.toml setup.py README.md LICENSE ./
COPY capybeam capybeam
COPY pipeline pipeline
COPY transforms transforms
RUN pip install --no-cache-dir --no-deps --no-build-isolation . && pip check

FROM python:3.11.15-slim-bookworm AS base
RUN useradd --uid 10001 --create-home capybeam
COPY --from=build /opt/capybeam /opt/capybeam
ENV PATH=/opt/capybeam/bin:${PATH} PYTHONUNBUFFERED=1
WORKDIR /work
USER 10001
ENTRYPOINT ["capybeam"]

# docker build --target sandbox
FROM base AS sandbox
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["python", "-I", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8765/sandbox/stats', timeout=2)"]
CMD ["sandbox", "--port", "8765"]

FROM base
CMD ["--help"]
