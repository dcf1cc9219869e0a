"""The command ``inspect``."""

# No `from __future__ import annotations`: Typer reads the annotations when the program runs.
from compressor.cli.destinations import is_standard_output
from compressor.cli.endings import errors_as_exit_codes
from compressor.cli.options import JsonOption, ModelArgument, NoRunOption, VerboseOption


def inspect_command(
    model: ModelArgument, json: JsonOption = None, no_run: NoRunOption = False, verbose: VerboseOption = False
) -> None:
    """Say where the bytes are, what each pass would save, and which dynamic axes are really fixed.

    Nothing is written.
    """
    with errors_as_exit_codes():
        from compressor.inspection import inspect
        from compressor.render import as_json
        from compressor.render.destination import open_destination
        from compressor.render.inspection_as_table import inspection_as_table
        from compressor.render.terminal import print_report

        with open_destination(json, as_json.MARK) as to_json:
            inspection = inspect(model, run=not no_run)
            to_json.write(as_json.as_text(as_json.facts_as_dict("inspect", inspection)))
        if not is_standard_output(json):
            print_report(inspection_as_table(inspection, verbose=verbose))
