# Operator, gateway, sidecar and mock provider: one image.
ARG BASE=python:3.11-slim-bookworm

FROM $BASE AS build
RUN pip install --no-cache-dir hatchling==1.27.0
RUN python3 -m venv --without-pip /opt/droveway
COPY requirements-runtime.lock /src/
RUN pip --python /opt/droveway install --no-cache-dir --no-compile --no-deps --require-hashes -r /src/requirements-runtime.lock
COPY pyproject.toml README.md LICENSE /src/
COPY operator /src/operator
# Bytecode is compiled here, where it can be written: the sidecar starts with every pod, on a read-only root.
RUN cd /src && hatchling build -t wheel -d /wheel \
 && pip --python /opt/droveway install --no-cache-dir --no-compile --no-deps /wheel/*.whl \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/droveway/lib

FROM $BASE
COPY --from=build /opt/droveway /opt/droveway
ENV PATH=/opt/droveway/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
ENTRYPOINT ["droveway"]
