# The service of `wsvad serve`, from the wheel: see docs/serve.md.
FROM python:3.11-slim AS build
COPY . /source
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /source

FROM python:3.11-slim
# An index with PyTorch's builds for the CPU; without it pip takes the ones for CUDA, which are gigabytes larger.
ARG PIP_EXTRA_INDEX_URL=""
COPY constraints.txt /constraints.txt
COPY --from=build /wheels/wsvad_lightning-*.whl /wheels/
RUN pip install --no-cache-dir --constraint /constraints.txt "$(echo /wheels/wsvad_lightning-*.whl)[serve]"
RUN useradd --create-home wsvad
USER wsvad
WORKDIR /home/wsvad
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health', timeout=3)"]
ENTRYPOINT ["wsvad", "serve", "--host", "0.0.0.0"]
