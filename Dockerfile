# Second Look in a container. Its torch brings CUDA with it, and runs without a GPU as well:
#   docker build -t second-look .
#   docker run --rm -p 8888:8888 -v "$PWD/outputs:/home/reader/second-look/outputs" second-look
#   docker run --rm --gpus all -v /path/to/data:/data -v "$PWD/outputs:/home/reader/second-look/outputs" second-look \
#     python run_all.py --params params/full.yaml
FROM python:3.12-slim-bookworm

RUN apt-get update \
    && apt-get install -y --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home reader
WORKDIR /home/reader/second-look
# What is slow to install comes first: a change of the code does not repeat it.
COPY requirements.lock ./
RUN pip install --no-cache-dir -r requirements.lock
COPY --chown=reader . .
RUN pip install --no-cache-dir --no-deps --no-build-isolation -e . \
    && mkdir -p outputs \
    && chown reader . outputs
USER reader
ENV SECOND_LOOK_DATA=/data
EXPOSE 8888
# JupyterLab asks for the token that it prints.
CMD ["python", "-m", "jupyterlab", "--ip=0.0.0.0", "--no-browser", "--ServerApp.root_dir=/home/reader/second-look"]
