"""Notebooks run on this interpreter, parameters are checked first, and the report loads nothing, runs nothing, hides nothing."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup

from rai_kit.report import (
    NotebookFailed,
    find_notebooks,
    latest,
    load_profile,
    merge_summaries,
    parameters_of,
    render,
    run_notebooks,
)
from rai_kit.schema import InputError

v4 = nbformat.v4
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
HOSTILE = "<script>alert(1)</script></details><img src=x onerror=alert(2)>\u202e[x](javascript:alert(3))\x1b[31m"


def text(source: str, *tags: str):
    return v4.new_markdown_cell(source, metadata={"tags": list(tags)})


def code(source: str, *tags: str):
    return v4.new_code_cell(source, metadata={"tags": list(tags)})


def notebook(folder: Path, name: str, *cells) -> Path:
    # A kernel of an odd name: the runner must not care what is registered on the machine.
    node = v4.new_notebook(
        cells=list(cells), metadata={"kernelspec": {"name": "python3", "display_name": "x", "language": "python"}}
    )
    folder.mkdir(exist_ok=True)
    nbformat.write(node, folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


def profile(folder: Path, words: str = "{}") -> Path:
    (folder / "tiny.yaml").write_text(words, encoding="utf-8")
    return folder / "tiny.yaml"


PARAMETERS = """
n: int = 3  # scenarios per category
rate: float = 0.5
name: str = "abc"
flag: bool = False
topics: list[str] = ["books"]
limit: int | None = None
out: str = "outputs/x"
""".strip()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run of two notebooks, started where a broken kernel is registered under the usual name."""
    root = tmp_path_factory.mktemp("run")
    broken = root / "share" / "kernels" / "python3"
    broken.mkdir(parents=True)
    (broken / "kernel.json").write_text(json.dumps({"argv": ["/bin/false"], "display_name": "b", "language": "python"}))
    books = root / "notebooks"
    notebook(
        books,
        "00_first",
        text("# How often?\n\nSee [next](01_second.ipynb) and [data](#Data)."),
        code(PARAMETERS, "parameters"),
        text("## Data"),
        code(
            "import json, os, sys\nfrom pathlib import Path\nfolder = Path(out) / '00_first'\nfolder.mkdir(exist_ok=True)\n"
            "(folder / 'summary.json').write_text(json.dumps([{'value': None, 'n': n, 'topics': topics}]))\n"
            "(folder / 'run.json').write_text(json.dumps({'models': {'model-under-test@embedded': {}}, 'judge': {'id': 'judge/1'}}))\n"
            "seen = {'python': sys.executable, 'cwd': os.getcwd(), 'env': dict(os.environ), 'rate': rate, 'limit': limit, 'name': name}\n"
            "_ = Path(out, 'seen.json').write_text(json.dumps(seen))"
        ),
        code(
            "import sys\nprint('a warning', file=sys.stderr)\nprint('home is', Path.home() / 'x', 'out is', Path(out) / 'tables')"
        ),
        code(f"from IPython.display import Image\nimport base64\nImage(base64.b64decode('{PIXEL}'))", "headline"),
        code("from rai_kit.schema import Conversation, Message\nfrom rai_kit.html import transcripts"),
        code(
            f"words = {HOSTILE!r}\nsaid = (Message('user', words), Message('assistant', words))\n"
            "talk = dict(scenario='s', target='t', simulator='u', category='c')\n"
            "transcripts([Conversation(id='c', messages=said, **talk)])"
        ),
        code(
            "from IPython.display import HTML, Javascript, Markdown, display\ndisplay(HTML(words), Markdown(words), Javascript('bad()'))"
        ),
        code("print('input is hidden here')", "remove-input"),
        code("print('output is hidden ' + 'here')", "remove-output"),
        code("print('all is hidden here')", "remove"),
    )
    notebook(
        books,
        "01_second",
        text("# Does it help?"),
        code("n: int = 1\nonly: str = ''", "parameters"),
        text("## Data"),
        code(
            'from IPython.display import HTML\nHTML(\'<table border="1"><thead><tr><th></th><th>word</th><th>value</th></tr></thead>'
            "<tbody><tr><th>0</th><td>a</td><td>0.25</td></tr><tr><th>1</th><td>b</td><td>NaN</td></tr></tbody></table>')",
            "headline",
        ),
    )
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(root / "share"))
        patch.setenv("MPLBACKEND", "Agg")
        words = ["n=7", "only=007", "rate=1", 'topics=["news"]']
        given = profile(root, "00_first: {name: from profile, limit: 9}")
        out = root / "outputs" / "a {run}"
        report = run_notebooks(sorted(books.glob("*.ipynb")), given, words, out, progress=lines.append)
    return {"out": out, "report": report, "lines": "".join(lines), "root": root, "html": report.read_text(encoding="utf-8")}


@pytest.fixture(scope="module")
def page(run):
    return BeautifulSoup(run["html"], "html.parser")


def section(page, stem: str):
    return page.find("section", attrs={"data-notebook": stem})


def test_the_kernel_is_this_interpreter_in_the_notebooks_folder_and_headless(run):
    seen = json.loads((run["out"] / "seen.json").read_text())
    assert seen["python"] == sys.executable
    assert Path(seen["cwd"]) == run["root"] / "notebooks"
    assert seen["env"]["RAI_KIT_HEADLESS"] == "1"
    assert "inline" in seen["env"]["MPLBACKEND"]


def test_parameters_reach_the_notebook_from_profile_and_command_line(run):
    seen = json.loads((run["out"] / "seen.json").read_text())
    assert (seen["name"], seen["limit"], seen["rate"]) == ("from profile", 9, 1.0)
    assert json.loads((run["out"] / "summary.json").read_text()) == [{"value": None, "n": 7, "topics": ["news"]}]
    assert "only: str" not in (run["out"] / "notebooks" / "00_first.ipynb").read_text()
    assert 'only = \\"007\\"' in (run["out"] / "notebooks" / "01_second.ipynb").read_text()


def test_one_line_a_notebook_is_printed(run):
    assert re.fullmatch(r"\[1/2\] 00_first … \d+\.\d s\n\[2/2\] 01_second … \d+\.\d s\n", run["lines"])


def test_run_json_says_what_was_run_on_what(run):
    record = json.loads((run["out"] / "run.json").read_text())
    assert record["profile"] == "tiny"
    assert record["python"].startswith("3.")
    assert record["packages"]["papermill"]
    assert {"rai_kit", "platform", "commit", "uncommitted"} <= set(record)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", record[key]) for key in ("started", "ended"))
    first, second = record["notebooks"]
    assert first["parameters"] == {"n": 7, "rate": 1.0, "name": "from profile", "flag": False, "topics": ["news"], "limit": 9}
    assert second["parameters"] == {"n": 7, "only": "007"}
    assert (first["status"], first["error"]) == ("completed", None)
    assert first["seconds"] > 0


def test_headlines_stand_above_the_contents_and_the_contents_above_the_notebooks(run, page):
    order = [
        run["html"].index(word)
        for word in ("<h1", 'class="headlines"', PIXEL[:40], 'id="contents"', 'id="nb-00_first"', 'id="nb-01_second"')
    ]
    assert order == sorted(order)
    top = page.select_one(".headlines")
    assert len(top.select("img")) == 1
    assert len(top.select("table")) == 1
    assert not top.select("details")
    assert [link["href"] for link in top.select(".origin a")] == ["#nb-00_first", "#nb-01_second"]
    assert [link.get_text() for link in page.select("#contents a")] == ["How often?", "Does it help?"]


def test_the_banner_names_models_judge_profile_and_date(page):
    facts = {row.dt.get_text(): row.dd.get_text() for row in page.select(".facts div")}
    assert facts["Models"] == "model-under-test@embedded"
    assert facts["Judge"] == "judge/1"
    assert facts["Profile"] == "tiny"
    assert facts["Date"].endswith("UTC")


def test_code_is_folded_and_can_be_opened(page):
    blocks = section(page, "00_first").select("details.code")
    assert len(blocks) == 7
    assert not any(block.has_attr("open") for block in blocks)
    assert "transcripts" in blocks[4].get_text()


def test_settings_are_a_table_of_what_was_in_effect(page):
    first, second = page.select("details.settings")
    rows = {row.th.get_text(): [cell.get_text() for cell in row.select("td")] for row in first.select("tbody tr")}
    assert rows["n"] == ["7", "scenarios per category"]
    assert rows["topics"] == ['["news"]', ""]
    assert rows["limit"][0] == "9"
    assert "out" not in rows
    changed = [row.th.get_text() for row in first.select("tr.changed")]
    assert changed == ["n", "rate", "name", "topics", "limit"]
    assert "007" in second.get_text()


def test_the_injected_cell_and_the_parameters_code_are_not_shown(page):
    assert "# Parameters" not in page.get_text()
    assert "limit: int | None" not in page.get_text()


def test_tags_hide_input_output_or_all(run, page):
    shown = page.get_text()
    assert shown.count("input is hidden here") == 1
    assert "print('output is hidden ' + 'here')" in shown
    assert "output is hidden here" not in shown
    assert "all is hidden here" not in run["html"]


def test_warnings_are_not_shown_where_nothing_failed(page):
    outputs = " ".join(part.get_text() for part in page.select(".jp-OutputArea"))
    assert "home is" in outputs
    assert "a warning" not in outputs


def test_the_report_names_no_folder_of_this_machine(run, page):
    shown = page.get_text()
    assert "home is ~/x out is a {run}/tables" in shown
    assert str(run["root"]) not in run["html"]
    assert f"{Path.home()}/" not in run["html"]


def test_nothing_is_loaded_and_nothing_can_run(run, page):
    assert not page.select("script, iframe, object, embed, link, form, base, svg")
    attributes = [(tag.name, name, str(value)) for tag in page.find_all(True) for name, value in tag.attrs.items()]
    assert not [found for found in attributes if found[1].startswith("on") or "javascript:" in found[2].lower()]
    assert all(value.startswith("data:image/") for _, name, value in attributes if name == "src")
    assert all(tag == "a" for tag, name, _ in attributes if name == "href")
    assert not re.search(r"@import|url\(", "".join(style.get_text() for style in page.select("style")))
    policy = page.select_one('meta[http-equiv="Content-Security-Policy"]')["content"]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:")
    assert "unsafe-inline" not in policy.replace("style-src 'unsafe-inline'", "")
    assert len(run["html"].encode()) < 300_000


def test_hostile_text_is_shown_and_does_nothing(run, page):
    block = page.select_one(".rk-chat")
    assert block.select_one(".rk-assistant .rk-text").get_text() == HOSTILE.replace("\u202e", "⟨U+202E⟩").replace(
        "\x1b", "⟨U+001B⟩"
    )
    assert not set(run["html"]) & set("\u202e\x1b")
    assert "bad()" not in " ".join(part.get_text() for part in page.select(".jp-OutputArea"))


def test_headings_nest_below_the_title_and_ids_are_unique(page):
    assert [tag.name for tag in page.body.find_all(True, recursive=False)] == ["header", "main", "footer"]
    assert [tag.get_text() for tag in page.select("h1")] == ["Responsible-AI report"]
    assert section(page, "00_first").h2.get_text() == "How often?"
    ids = [tag["id"] for tag in page.select("[id]")]
    assert len(ids) == len(set(ids))


def test_links_inside_the_report_lead_somewhere(page):
    links = {link["href"][1:] for link in page.select("a[href^='#']")}
    assert {"nb-01_second", "00_first--Data"} <= links
    assert links <= {tag["id"] for tag in page.select("[id]")}


def test_columns_of_numbers_are_aligned_and_tables_can_scroll(page):
    table = section(page, "01_second").select(".table table")[-1]
    numbers = [cell.get_text() for cell in table.select(".num")]
    assert numbers == ["value", "0.25", "NaN"]
    assert all(table.find_parent(class_="table") for table in page.select("table"))


def test_figures_have_a_description(page):
    assert {image["alt"] for image in page.select("img")} == {"Figure: Data"}


def test_a_second_run_keeps_the_other_notebooks(run):
    before = json.loads((run["out"] / "run.json").read_text())
    notebook(run["root"] / "notebooks", "02_third", text("# And now?"))
    path = run["root"] / "notebooks" / "02_third.ipynb"
    report = run_notebooks([path], profile(run["root"], "02_third: {}"), {}, run["out"], progress=lambda piece: None)
    after = json.loads((run["out"] / "run.json").read_text())
    assert after["started"] == before["started"]
    assert after["notebooks"][:2] == before["notebooks"]
    assert after["notebooks"][2]["name"] == "02_third"
    html = report.read_text(encoding="utf-8")
    assert html.index('id="nb-01_second"') < html.index('id="nb-02_third"')
    assert not list(run["out"].glob("*.partial*"))


def test_what_would_tell_the_same_is_left_as_it_is(tmp_path):
    books, out, data = tmp_path / "notebooks", tmp_path / "out", tmp_path / "data.txt"
    data.write_text("a", encoding="utf-8")
    notebook(
        books,
        "00_first",
        code("n: int = 1\nout: str = ''\nfile: str = ''", "parameters"),
        code("open(out + '/kept.txt', 'w').write('1')"),
    )
    notebook(books, "01_second", code("n: int = 1", "parameters"), code("print(n)"))
    paths = sorted(books.glob("*.ipynb"))

    def run(words):
        lines = []
        run_notebooks(paths, profile(tmp_path, "{}"), [f"file={data}", *words], out, progress=lines.append)
        return ["unchanged" in line for line in "".join(lines).splitlines()]

    assert run([]) == [False, False]
    executed = (out / "notebooks" / "01_second.ipynb").read_bytes()
    assert run([]) == [True, True]
    assert (out / "notebooks" / "01_second.ipynb").read_bytes() == executed
    assert (out / "report.html").is_file()
    assert run(["n=2"]) == [False, False]
    assert run(["n=2"]) == [True, True]
    data.write_text("another", encoding="utf-8")
    assert run(["n=2"]) == [False, False], "a file that a parameter names, and what comes after"
    notebook(books, "01_second", code("n: int = 1", "parameters"), code("print(n, n)"))
    assert run(["n=2"]) == [True, False]
    (out / "kept.txt").unlink()
    assert run(["n=2"]) == [False, False], "what was written is gone"
    assert (out / "kept.txt").is_file()
    (out / "step").mkdir()
    (out / "step" / "run.json").write_text('{"counts": {"unscored": {"target:empty": 1}}}', encoding="utf-8")
    assert [run(["n=2"]), run(["n=2"])] == [[False, False], [True, True]]
    (out / "step" / "run.json").write_text('{"counts": {"unscored": {"target:timeout": 1}}}', encoding="utf-8")
    assert [run(["n=2"]), run(["n=2"])] == [[False, False], [False, False]], "another try may mend it"


# --- what is refused, before anything is run or written -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nn=3"], "None of 00_a has a parameter 'nn'; they have flag, limit, n, name, rate, topics."),
        (["n=x"], "00_a: n is 'x'; it must be of type int, such as 3."),
        (["n=2.5"], "n is '2.5'; it must be of type int"),
        (["n=true"], "n is 'true'; it must be of type int"),
        (["n=null"], "n is 'null'; it must be of type int"),
        (["rate=NaN"], "rate is 'NaN'; it must be of type float"),
        (["topics=books"], "topics is 'books'; it must be of type list[str], such as [\"books\"]."),
        (["topics=[1]"], "it must be of type list[str]"),
        (["flag=1"], "it must be of type bool, such as false."),
        (["n=1", "n=2"], "'n' is given twice"),
        (["n"], "'n' is no parameter; write -p name=value."),
        (["out=x"], "'out' is set by the runner"),
        ({"n": "3", "name": 5}, "name is 5; it must be of type str"),
    ],
)
def test_wrong_parameters_are_refused(tmp_path, words, said):
    path = notebook(tmp_path / "n", "00_a", code(PARAMETERS, "parameters"))
    with pytest.raises(InputError) as refused:
        run_notebooks([path], profile(tmp_path), words, tmp_path / "out")
    assert said in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_nothing_runs_if_the_last_notebook_is_refused_and_all_problems_are_told(tmp_path):
    first = notebook(tmp_path / "n", "00_a", code("n: int = 1\nout: str = ''", "parameters"), code("open(out + '/ran', 'w')"))
    second = notebook(tmp_path / "n", "01_b", code("k: int = 1", "parameters"))
    given = profile(tmp_path, "00_a: {n: '5'}\n01_b: {wrong: 1}\n07_gone: {}")
    with pytest.raises(InputError) as refused:
        run_notebooks([first, second], given, ["m=1"], tmp_path / "out")
    for words in (
        "00_a: n is '5'",
        "01_b has no parameter 'wrong'; it has k.",
        "'07_gone', which is no notebook",
        "has a parameter 'm'",
    ):
        assert words in str(refused.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("line", ["n: int = 1 + k", "n = len('a')", "import os", "a, b = 1, 2", "n: int"])
def test_a_parameter_that_is_no_literal_is_refused(line):
    with pytest.raises(InputError, match=r"00_a: .* is no literal"):
        parameters_of(v4.new_notebook(cells=[code(line, "parameters")]), "00_a")


def test_profiles_are_checked(tmp_path):
    with pytest.raises(InputError, match="no profile 'none-such'; there are"):
        load_profile("none-such")
    for words, said in [("a: 1", "must map"), ("[1]", "must map"), ("a: {d: 2024-01-01}", "quote it"), ("a: {", "is no YAML")]:
        with pytest.raises(InputError, match=said):
            load_profile(profile(tmp_path, words))
    assert load_profile(profile(tmp_path, "a: {n: 1, x: [y]}")) == {"a": {"n": 1, "x": ["y"]}}
    assert load_profile(profile(tmp_path, "")) == {}


def test_notebooks_are_found_by_name_or_its_beginning(tmp_path):
    one, two = (notebook(tmp_path, name) for name in ("00_first", "01_second"))
    assert find_notebooks([], tmp_path) == [one, two]
    assert find_notebooks(["01", "00_first", "01_second.ipynb", str(one)], tmp_path) == [two, one, two, one]
    for name in ("0", "02"):
        with pytest.raises(InputError, match="there are 00_first, 01_second"):
            find_notebooks([name], tmp_path)


def test_summaries_that_are_no_lists_are_refused(tmp_path):
    (tmp_path / "a").mkdir()
    for words in ('{"value": 1}', "[NaN]", "["):
        (tmp_path / "a" / "summary.json").write_text(words)
        with pytest.raises(InputError, match=r"a/summary\.json is no JSON list"):
            merge_summaries(tmp_path)


def test_rendering_what_was_not_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="00_a was not executed"):
        render(tmp_path, ["00_a"])


# --- what goes wrong while running --------------------------------------------------------------------------------------


def failing(tmp_path: Path, *cells, **more) -> tuple[NotebookFailed, BeautifulSoup]:
    first = notebook(tmp_path / "n", "00_bad", text("# Why?"), *cells, code("print('never reached')"), text("a conclusion"))
    second = notebook(tmp_path / "n", "01_next", code("1"))
    with pytest.raises(NotebookFailed) as failed:
        run_notebooks([first, second], profile(tmp_path), [], tmp_path / "out", progress=lambda piece: None, **more)
    assert failed.value.report == tmp_path / "out" / "report.html"
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert [(entry["name"], entry["status"]) for entry in record["notebooks"]] == [("00_bad", "failed")]
    page = BeautifulSoup(failed.value.report.read_text(encoding="utf-8"), "html.parser")
    assert "This run is incomplete" in page.header.get_text()
    assert "a conclusion" not in page.get_text()
    return failed.value, page


def test_a_failing_cell_is_named_and_shown_in_the_report(tmp_path):
    error, page = failing(
        tmp_path, code("\nimport sys; print('detail', file=sys.stderr)\nraise ValueError('<b>odd</b> value')", "headline")
    )
    lines = str(error).splitlines()
    assert lines[0] == "00_bad stopped at `import sys; print('detail', file=sys.stderr)`: ValueError: <b>odd</b> value"
    assert "give the same command again" in lines[-1]
    assert len(lines) <= 4
    assert not page.select(".headlines")
    shown = section(page, "00_bad")
    assert shown.select_one(".failed strong").get_text() == "ValueError: <b>odd</b> value"
    assert "Traceback" in shown.select_one(".failed details summary").get_text()
    assert "detail" in shown.select_one(".jp-OutputArea").get_text()
    assert "1 code cell after it not run" in shown.get_text()


def test_bad_input_in_a_notebook_is_its_one_sentence(tmp_path):
    error, page = failing(tmp_path, code("from rai_kit.schema import InputError\nraise InputError('n is 0; give at least 1.')"))
    assert str(error).splitlines()[0] == "00_bad stopped at `from rai_kit.schema import InputError`: n is 0; give at least 1."
    box = section(page, "00_bad").select_one(".failed")
    assert box.get_text().strip() == "n is 0; give at least 1."


def test_a_kernel_that_dies_and_a_cell_that_takes_too_long_are_failures(tmp_path):
    error, page = failing(tmp_path, code("import os\nos._exit(3)"))
    assert "DeadKernelError" in str(error)
    assert "DeadKernelError" in section(page, "00_bad").get_text()
    (tmp_path / "slow").mkdir()
    error, page = failing(tmp_path / "slow", code("import time\ntime.sleep(60)"), cell_timeout=1)
    assert "`import time`: the cell ran longer than 1 s" in str(error)
    assert "ran longer than 1 s" in section(page, "00_bad").get_text()


@pytest.mark.skipif(os.name != "posix", reason="signals and process lists as on Unix")
def test_an_interrupt_leaves_no_kernel_behind(tmp_path):
    path = notebook(
        tmp_path / "n",
        "00_long",
        code("out: str = ''", "parameters"),
        code("import os, time\nopen(out + '/pid', 'w').write(str(os.getpid()))\ntime.sleep(60)"),
    )
    arguments = f"[{str(path)!r}], {str(profile(tmp_path))!r}, [], {str(tmp_path / 'out')!r}"
    program = f"from rai_kit.report import run_notebooks\nrun_notebooks({arguments})"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    mark = tmp_path / "out" / "pid"
    for _ in range(600):
        if mark.exists() and mark.read_text():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in errors
    kernel = int(mark.read_text())
    for _ in range(100):
        try:
            os.kill(kernel, 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        pytest.fail("the kernel is still alive")
    assert json.loads((tmp_path / "out" / "run.json").read_text())["notebooks"][0]["status"] == "interrupted"


# --- outputs/latest -----------------------------------------------------------------------------------------------------


def test_latest_is_a_relative_link_that_moves_with_each_run(tmp_path):
    for name in ("a", "b"):
        out = tmp_path / "outputs" / name
        out.mkdir(parents=True)
        assert latest(out) == tmp_path / "outputs" / "latest"
        assert os.readlink(tmp_path / "outputs" / "latest") == name
    assert latest(tmp_path / "outputs" / "latest") == tmp_path / "outputs" / "latest"
    assert os.readlink(tmp_path / "outputs" / "latest") == "b"
    assert latest(tmp_path / "elsewhere") == tmp_path / "elsewhere"


def test_where_no_link_can_be_made_the_path_is_printed(tmp_path, capsys):
    out = tmp_path / "outputs" / "a"
    out.mkdir(parents=True)
    (tmp_path / "outputs" / "latest").mkdir()
    assert latest(out) == out
    assert capsys.readouterr().out.strip() == str(out)
    assert sorted(path.name for path in (tmp_path / "outputs").iterdir()) == ["a", "latest"]
