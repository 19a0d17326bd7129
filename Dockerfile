# PyTorch for the CPU; for a GPU: docker build --build-arg TORCH=cu128 .
FROM python:3.11-slim

ARG TORCH=cpu
ENV PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/${TORCH} \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

RUN useradd --create-home user
WORKDIR /home/user/litmlp
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH

# What changes seldom first, so that an edit of the code installs nothing again.
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY maintenance/wheel.py maintenance/
RUN mkdir -p src/litmlp src/hydra_plugins && touch src/litmlp/__init__.py \
    && pip install --constraint constraints.txt --editable .

COPY --chown=user . .
RUN chown user . && mkdir -p runs && chown user runs
USER user
CMD ["litmlp-train", "--help"]
