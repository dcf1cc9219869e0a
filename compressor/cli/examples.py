"""Show what to type: the text below the options in the help of each command."""

from __future__ import annotations

EXIT_CODES = """\b
Exit codes:
  0  done
  1  a promise was broken: a pass was rolled back, a limit was not met, or two models differ
  2  bad input or options; one sentence on stderr says which
"""
COMPRESS_EXAMPLES = f"""\b
Examples:
  compressor compress model.onnx
  compressor compress model.onnx -o small.onnx --passes deduplicate,quantize
  compressor compress model.onnx --recipe recipe.toml --json report.json
  compressor compress model.onnx --json - | jq .ratio
  compressor compress model.onnx --data questions.csv --labels category
  compressor compress model.onnx --max-size 30% --min-cosine 0.99
  compressor compress model.onnx --search --min-cosine 0.99
  compressor compress exported/ -o small/
  compressor compress zoo/ -o small/ --separate --jobs 4

Several models, or a folder of them, are taken to belong together (encoder, decoder, decoder with
past). Each keeps its name and loads on its own; weights that several hold are stored once, in a
data file beside them. Configuration and tokenizer of a folder go along.

{EXIT_CODES}"""
INSPECT_EXAMPLES = """\b
Examples:
  compressor inspect model.onnx
  compressor inspect model.onnx --json - | jq '.largest[0]'
"""
COMPARE_EXAMPLES = f"""\b
Examples:
  compressor compare model.onnx model.compressed.onnx
  compressor compare model.onnx model.compressed.onnx --atol 0.1

{EXIT_CODES}"""
