# fits_dagster in a container: `up` for a site, or a worker. compose.yaml shows both.
FROM python:3.12-slim

# who owns the data outside is told by these numbers
ARG UID=10001
ARG GID=10001
RUN groupadd --gid "$GID" fitsdata \
    && useradd --uid "$UID" --gid "$GID" --create-home fitsdata \
    && install --directory --owner fitsdata --group fitsdata /data /dhs /dataflow /staging

WORKDIR /opt/fits_dagster
COPY constraints.txt pyproject.toml README.md ./
# all that it depends on, in a layer that a change of the program leaves as it is
RUN mkdir fits_dagster && touch fits_dagster/__init__.py \
    && pip install --no-cache-dir --constraint constraints.txt . \
    && rm -rf build fits_dagster fits_dagster.egg-info
COPY fits_dagster ./fits_dagster
RUN pip install --no-cache-dir --no-deps --force-reinstall .

USER fitsdata
WORKDIR /data
ENV FITS_DAGSTER_HOME=/data \
    PYTHONUNBUFFERED=1
VOLUME ["/data"]
ENTRYPOINT ["fits-dagster"]
CMD ["up"]
