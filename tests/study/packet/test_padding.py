"""Padded image files: of the size that was asked for, with the pixels that they had."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image
from playwright.sync_api import Page

from hdbench.data.sheets import encode_png
from hdbench.study.packet.padding import ROOM, paddable, padded


@pytest.mark.parametrize("more", range(7))
def test_padding_leaves_every_pixel(more: int) -> None:
    picture = Image.effect_noise((31, 17), 80).convert("RGB")
    png = paddable(encode_png(picture))
    file = padded(png, len(png) + ROOM + more)
    assert len(file) == len(png) + ROOM + more
    with Image.open(io.BytesIO(file)) as image:
        assert image.tobytes() == picture.tobytes()


@pytest.mark.slow
def test_a_browser_shows_padded_images_pixel_by_pixel(browser_page: Page) -> None:
    picture = Image.effect_noise((64, 48), 80).convert("RGB").quantize(4).convert("RGB")
    file = padded(paddable(encode_png(picture)), 500_003)
    address = f"data:image/png;base64,{base64.b64encode(file).decode()}"
    pixels = browser_page.evaluate(
        """async (address) => {
          const image = new Image();
          image.src = address;
          await image.decode();
          const canvas = document.createElement("canvas");
          [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
          const context = canvas.getContext("2d");
          context.drawImage(image, 0, 0);
          return [...context.getImageData(0, 0, canvas.width, canvas.height).data];
        }""",
        address,
    )
    assert bytes(pixels) == picture.convert("RGBA").tobytes()
