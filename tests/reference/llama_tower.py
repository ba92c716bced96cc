"""The vision tower that sluice writes beside a GGUF, opened by llama.cpp's own library for towers (mtmd): embeddings of the
golden images and logits of the golden prompt with two of them, beside transformers' (the golden) in float32. Run by hand:

    g++ ... llama_images.cc    (see there)
    /tmp/venv/bin/python tests/reference/llama_tower.py build/release/bin/sluice ./llama_images ../shared/goldens/vlm-r1-tied-mtp

Checked with llama.cpp of October 2026 (ggml 0.25.3)."""

import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file

PATCH, MERGE = 16, 2
IMAGE_TOKEN = 740


def pixels(goldens, name):
    """The image that the golden's patches were cut from: [height, width, 3], 8 bit."""
    _, h, w = goldens[f"{name}.grid_thw"].tolist()
    patches = goldens[f"{name}.pixel_bytes"].view(h // MERGE, w // MERGE, MERGE, MERGE, 3, 2, PATCH, PATCH)
    return patches[:, :, :, :, :, 0].permute(0, 2, 5, 1, 3, 6, 4).reshape(h * PATCH, w * PATCH, 3).contiguous()


def apart(found, wanted):
    return (f"largest {(found - wanted).abs().max() / wanted.abs().max():.1e} of the peak, "
            f"rms {(found - wanted).pow(2).mean().sqrt() / wanted.std():.1e} of the deviation")


def main():
    program, tool, golden = sys.argv[1:4]
    goldens = load_file(pathlib.Path(golden) / "goldens.safetensors")
    ids = [-1 if token == IMAGE_TOKEN else token for token in goldens["mixed.ids"].tolist()]
    positions = goldens["mixed.positions"].T.flatten().tolist()
    wanted = torch.cat([goldens["tower.image0.merged"], goldens["tower.image1.merged"]])
    for vision, text in (("f32", "f32"), ("f16", "f16"), ("bf16", "bf16"), ("q8_0", "q8_0")):
        with tempfile.TemporaryDirectory() as place:
            place = pathlib.Path(place)
            subprocess.run([program, "convert", golden, place / "model.gguf", "--to", "gguf", "--type", text,
                            "--vision-type", vision, "--quiet"], check=True, stdout=subprocess.DEVNULL)
            (tower,) = place.glob("mmproj-*.gguf")
            images = []
            for name in ("image0", "image1"):
                image = pixels(goldens, name)
                (place / name).write_bytes(image.numpy().tobytes())
                images.append(f"{place / name}:{image.shape[1]}x{image.shape[0]}")
            subprocess.run([tool, place / "model.gguf", tower, place / "out", ",".join(map(str, ids)),
                            ",".join(map(str, positions)), *images], check=True, stdout=subprocess.DEVNULL)
            def read(path, columns):
                return torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.float32).view(-1, columns)
            found = read(place / "out.images", wanted.shape[1])
            print(f"{vision} tower: {len(found)} embeddings, {apart(found, wanted)}")
            logits = read(place / "out", goldens["mixed.logits"].shape[1])
            print(f"  logits of the mixed prompt, {text} model: {apart(logits, goldens['mixed.logits'])}, first choice equal in "
                  f"{(logits.argmax(-1) == goldens['mixed.logits'].argmax(-1)).float().mean():.1%} of {len(logits)}")


if __name__ == "__main__":
    sys.exit(main())
