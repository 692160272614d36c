"""Train the two shipped digits models and export them to ONNX.

Run: pip install torch onnx scikit-learn, then `python tools/build_models.py OUT_DIR` (about a minute on two
cores).

digits_resnet20     image f32 [n, 1, 32, 32] -> logits f32 [n, 10]   (pixels / 16, 8x8 -> 32x32 bilinear)
digits_transformer  rows  f32 [n, 8, 8]      -> logits f32 [n, 10]   (pixels / 16, a row is a token)

The split is that of tools/build_heldout.py. The shipped files score 0.9920 and 0.9899 on its 497
held-out images. Training depends on the version of torch and on the order in which threads add: builds
differ by up to one point.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

TRAINING_IMAGES = 1300
SEED = 0
BATCH_IMAGES = 64
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.01
ONNX_OPSET = 17


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al., 2016)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class ResNet20(nn.Module):
    """The CIFAR-style residual network with 20 layers, for one grey channel."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        blocks: list[nn.Module] = []
        channels = width
        for stage, stride in ((1, 1), (2, 2), (4, 2)):
            for block in range(3):
                blocks.append(ResidualBlock(channels, stage * width, stride if block == 0 else 1))
                channels = stage * width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class Attention(nn.Module):
    """Multi-head self-attention, written out so that the exported graph is plain MatMul and Softmax."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, width = x.shape
        head_width = width // self.heads

        def split(t: torch.Tensor) -> torch.Tensor:
            return t.reshape(batch, tokens, self.heads, head_width).transpose(1, 2)

        query, key, value = split(self.query(x)), split(self.key(x)), split(self.value(x))
        weights = torch.softmax(query @ key.transpose(-1, -2) / head_width**0.5, -1)
        return self.out((weights @ value).transpose(1, 2).reshape(batch, tokens, width))


class EncoderLayer(nn.Module):
    """Attention and a feed-forward net, each followed by a norm (post-norm)."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.down(functional.gelu(self.up(x))))


class RowTransformer(nn.Module):
    """A transformer that reads an image as eight tokens, one for each row."""

    def __init__(self, width: int = 128, layers: int = 4) -> None:
        super().__init__()
        self.embed = nn.Linear(8, width)
        self.position = nn.Parameter(torch.randn(1, 8, width) * 0.02)
        self.layers = nn.ModuleList([EncoderLayer(width, 4, 4 * width) for _ in range(layers)])
        self.head = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x) + self.position
        for layer in self.layers:
            x = layer(x)
        return self.head(x.mean(1))


def train(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, epochs: int) -> None:
    """Train with AdamW under a one-cycle schedule and leave the model in evaluation mode."""
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = epochs * -(-len(images) // BATCH_IMAGES)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    model.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(BATCH_IMAGES):
            optimizer.zero_grad()
            functional.cross_entropy(model(images[rows]), labels[rows]).backward()
            optimizer.step()
            schedule.step()
    model.eval()


def export(model: nn.Module, example: torch.Tensor, path: Path, input_name: str) -> None:
    """Write the model to path with a free batch dimension, and check the file."""
    torch.onnx.export(
        model,
        (example,),
        str(path),
        input_names=[input_name],
        output_names=["logits"],
        dynamic_axes={input_name: {0: "batch"}, "logits": {0: "batch"}},
        opset_version=ONNX_OPSET,
        dynamo=False,
    )
    onnx.checker.check_model(onnx.load(str(path)))


def main() -> None:
    """Train, measure and export both models into the folder that the first argument names."""
    out = Path(sys.argv[1])
    torch.manual_seed(SEED)
    digits = load_digits()
    rows = torch.tensor(digits.images / 16.0, dtype=torch.float32)
    images = functional.interpolate(rows[:, None], size=(32, 32), mode="bilinear", align_corners=False)
    labels = torch.tensor(digits.target)
    order = np.random.RandomState(SEED).permutation(len(labels))
    seen, held_out = order[:TRAINING_IMAGES], order[TRAINING_IMAGES:]
    for architecture, inputs, epochs, name, input_name in (
        (ResNet20, images, 4, "digits_resnet20", "image"),
        (RowTransformer, rows, 25, "digits_transformer", "rows"),
    ):
        model = architecture()  # made here, so that each starts from the chance that the one before left
        train(model, inputs[seen], labels[seen], epochs)
        with torch.no_grad():
            accuracy = (model(inputs[held_out]).argmax(1) == labels[held_out]).float().mean().item()
        export(model, inputs[:1], out / f"{name}.onnx", input_name)
        print(f"{name}: accuracy {accuracy:.4f} on {len(held_out)} held-out images")


if __name__ == "__main__":
    main()
