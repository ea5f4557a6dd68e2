# Operator, gateway, sidecar and mock provider: one image.
ARG BASE=python:3.11-slim-bookworm

FROM $BASE AS wheel
RUN pip install --no-cache-dir hatchling==1.27.0
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN hatchling build -t wheel -d /wheel

# What changes seldom comes first. Bytecode is compiled here, where it can be written: containers have a read-only root, and a
# sidecar starts with every agent.
FROM $BASE
COPY requirements-runtime.lock /tmp/
RUN python3 -m venv --without-pip /opt/droveway \
 && pip --python /opt/droveway install --no-cache-dir --no-compile --no-deps --require-hashes -r /tmp/requirements-runtime.lock \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/droveway/lib
COPY --from=wheel /wheel /tmp/wheel
RUN pip --python /opt/droveway install --no-cache-dir --no-compile --no-deps /tmp/wheel/*.whl \
 && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/droveway/lib/python3*/site-packages/droveway
ENV PATH=/opt/droveway/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
ENTRYPOINT ["droveway"]
