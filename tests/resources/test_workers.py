import pytest

from resources.workers import run_python_worker
from splat_pipeline.domain.errors import ToolCrashed


def test_a_worker_answers_from_any_folder_and_is_not_misled_by_what_lies_there(tmp_path, monkeypatch):
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "echo_worker.py").write_text(
        "import json, sys\n"
        "request = json.load(open(sys.argv[1], encoding='utf-8'))\n"
        "json.dump({'twice': 2 * request['n']}, open(request['result'], 'w', encoding='utf-8'))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / "json.py").write_text("raise RuntimeError('the wrong json')")
    assert run_python_worker("echo_worker", {"n": 21}, folder=scratch, time_limit_s=30) == {"twice": 42}


def test_a_worker_without_an_answer_has_crashed(tmp_path):
    with pytest.raises(ToolCrashed, match="without an answer"):
        run_python_worker("this", {}, folder=tmp_path, time_limit_s=30)


def test_a_worker_that_raises_shows_its_traceback(tmp_path):
    with pytest.raises(ToolCrashed, match="No module named"):
        run_python_worker("no_such_module_here", {}, folder=tmp_path, time_limit_s=30)
