"""The caps of the reader. They bound memory and time for any input, and have no switch.

Real embedding files hold 1 to 230 vectors in well under a megabyte; the caps leave room for
bundles and for text-encoder tables saved whole, not for surprises.
"""

from __future__ import annotations

MIB = 1024 * 1024

WHOLE_FILE = 64 * MIB
"""Files up to this size are read once and parsed from memory."""

SAFETENSORS_HEADER = 16 * MIB
SAFETENSORS_TENSORS = 100_000

ZIP_MEMBERS = 20_000
PICKLE_BYTES = 8 * MIB
PICKLE_OPCODES = 200_000
PICKLE_STACK = 20_000
PICKLE_MEMO = 100_000
PICKLE_TEXT = 4 * MIB
"""Longest string in a pickle; data saved on Apple GPUs lies inside strings."""

PICKLE_WORK = 32 * MIB
"""Bytes of text and sixteenths of items that all calls of one pickle may copy."""

STORAGE_BYTES = 1024 * MIB
"""Longest storage that a tensor may point into; only the tensor's own part is read."""

INFLATED_BYTES = 64 * MIB
"""All the bytes that one file may unpack to."""

TENSOR_BYTES = 32 * MIB
TOTAL_TENSOR_BYTES = 96 * MIB
VECTORS = 4096
"""Rows of one embedding; more is a token table, not a word."""

DIMENSIONS = 8
EMBEDDINGS = 1000
WIDTHS = range(4, 32_769)

PNG_PIXELS = 8 * MIB
PNG_CHUNKS = 20_000
PNG_LISTS = 10_000
PNG_NUMBERS = 2_000_000
PNG_TEXT = 12 * MIB
"""A card's text chunk: 75 vectors of SDXL are about 5 MB of JSON in base64."""
SIDECAR_BYTES = 1 * MIB
TOKEN_CHARACTERS = 512
FOLDER_FILES = 100_000
