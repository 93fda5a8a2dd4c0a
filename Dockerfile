# Image for training and for the book on a GPU node. torch from PyPI includes CUDA's libraries; the host needs only a
# driver and the NVIDIA container toolkit:
#   docker build -t mammogan .
#   docker run --gpus all --shm-size 8g -v /archive:/archive:ro -v "$PWD/runs:/mammogan/runs" mammogan \
#       run --profile paper --data /archive
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install -y --no-install-recommends git nodejs npm chromium \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /mammogan
# Files that change rarely come first, so that an edit of the code does not install torch again.
COPY pyproject.toml constraints.txt package.json package-lock.json .npmrc ./
COPY mammogan/__init__.py mammogan/__init__.py
RUN pip install --no-cache-dir --constraint constraints.txt --editable ".[study,book,tensorboard,test]" \
    && npm ci --silent --no-audit --no-fund
COPY . .

# To own the results, run the container with: docker run --user "$(id -u):$(id -g)".
ENV PYTHONUNBUFFERED=1 HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib
ENTRYPOINT ["mammogan"]
CMD ["--help"]
