# nerfstudio 1.1.5 pins protobuf <= 3.20.3 and gsplat 1.4.0 and so cannot share an environment with Dagster:
# it lives in this image and is called as a program.
FROM nvidia/cuda:12.1.1-devel-ubuntu22.04
ENV DEBIAN_FRONTEND=noninteractive PIP_NO_CACHE_DIR=1 TORCH_CUDA_ARCH_LIST="7.5;8.0;8.6;8.9;9.0"
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3.10 python3-pip python3-dev build-essential git ffmpeg libgl1 libglib2.0-0 \
 && rm -rf /var/lib/apt/lists/*
COPY docker/nerfstudio.requirements.txt /tmp/requirements.txt
RUN python3 -m pip install --upgrade pip setuptools wheel ninja \
 && python3 -m pip install torch==2.1.2 torchvision==0.16.2 \
 && python3 -m pip install --requirement /tmp/requirements.txt
# gsplat's kernels are built here, by nvcc and without a GPU: a container that is removed would build them at every training.
ENV TORCH_EXTENSIONS_DIR=/opt/torch_extensions
RUN python3 -c "from gsplat.cuda._backend import _C; assert _C is not None" \
 && chmod -R a+rwX /opt/torch_extensions
# It builds a metric on AlexNet whenever it loads a model, which would be fetched by a container that has no network.
ENV TORCH_HOME=/opt/torch
RUN python3 -c "from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity as Lpips; Lpips(normalize=True)" \
 && chmod -R a+rX /opt/torch
ENTRYPOINT ["ns-train"]
