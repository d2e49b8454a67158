"""Arguments, help and the ways a command ends."""

import subprocess
import sys

import pytest

from skxmc import _cli
from skxmc._cli import main


def test_help_teaches_without_loading_what_it_does_not_need():
    code = (
        "import sys\n"
        "from skxmc._cli import main\n"
        "try:\n"
        "    main(['--help'])\n"
        "finally:\n"
        "    assert not {'torch', 'sklearn'} & sys.modules.keys()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "python -m skxmc fit train.jsonl" in result.stdout


@pytest.mark.parametrize("command", ["fit", "predict", "evaluate"])
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert command in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "COMMAND"),
        (["learn"], "invalid choice: 'learn'"),
        (["predict", "model", "input", "-k", "0"], "'0' is not a whole number"),
        (["predict", "model", "input", "-k", "²"], "is not a whole number"),
        (["fit", "train", "model", "--set", "n_components"], "NAME=VALUE"),
        (["fit", "train", "model", "-e", "svm"], "invalid choice: 'svm'"),
    ],
)
def test_mistakes_in_the_command_line_are_status_2(argv, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(argv)
    assert message in capsys.readouterr().err


def test_unknown_parameter_is_a_mistake_in_the_command_line(tmp_path, capsys):
    train = tmp_path / "train.txt"
    train.write_text("1 2 2\n0 0:1\n")
    with pytest.raises(SystemExit, match="2"):
        main(["fit", str(train), str(tmp_path / "m"), "--set", "n_compnents=3"])
    assert "Invalid parameter 'n_compnents'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status"),
    [(KeyboardInterrupt(), 130), (MemoryError(), 1), (KeyError("a\nb"), 1)],
)
def test_how_commands_end(monkeypatch, capsys, error, status):
    def fail(args):
        raise error

    monkeypatch.setattr(_cli, "predict_labels", fail)
    assert main(["predict", "model", "input"]) == status
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == (status == 1)
    if errors:
        assert errors[0].startswith(f"skxmc: error: {type(error).__name__}: ")


def test_reader_that_stops_early_is_no_error():
    code = (
        "import sys\n"
        "from skxmc import _cli\n"
        "def write(args):\n"
        "    for _ in range(100_000):\n"
        "        sys.stdout.write('label\\n')\n"
        "_cli.predict_labels = write\n"
        "sys.exit(_cli.main(['predict', 'model', 'input']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout.readline().strip() == b"label"
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 0


def test_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out.strip() == _cli.skxmc.__version__
