# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`ddg-hf report` from arguments to files: what the page says, that data stays text, and mistakes."""

import csv
import html.parser
import json
import re
import sys
import xml.etree.ElementTree

import pytest

from ddg_hf.cli import main as cli
from tests.report import builders

pytest.importorskip("matplotlib", reason="figures need matplotlib: pip install 'ddg_hf[report]'")


@pytest.fixture
def report(tmp_path, capsys):
    """Runs the command on a directory; returns the page."""

    def run(source, *options) -> str:
        page = tmp_path / "report.html"
        assert cli(["report", str(source), "-o", str(page), "--overwrite", *map(str, options)]) == 0, (
            capsys.readouterr().err
        )
        return page.read_text(encoding="utf-8")

    return run


@pytest.fixture
def fails(capsys):
    """Runs the command, which must fail; returns its one line on standard error."""

    def run(*argv) -> str:
        assert cli(["report", *map(str, argv)]) == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        return line

    return run


class Elements(html.parser.HTMLParser):
    """Elements of a page with their attributes, and its text."""

    def __init__(self, page: str):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def of(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_a_study_has_every_section(report, tmp_path):
    page = Elements(report(builders.study(tmp_path / "films")))
    ids = [attributes.get("id") for attributes in page.of("section")]
    expected = "summary accuracy differences sets training costs confusion samples checks commands runs".split()
    assert [name for name in ids if name != "absent"] == expected
    assert "DDG less balanced random real rows: +1.3 points [−1.3, +3.9] at DPC 5" in page.text
    assert "The study is not finished: of 10 commands 1 not run yet and 1 failed." in page.text
    titles = [attributes["aria-label"] for attributes in page.of("div") if attributes.get("role") == "group"]
    assert len(set(titles)) > 15
    matrices = {title for title in titles if title.startswith("Figure: ") and title.endswith(", DPC 5")}
    assert matrices == {f"Figure: {title}, DPC 5" for _, title, _ in builders.METHODS}


def test_tables_have_what_the_results_have(report, tmp_path):
    """Every number of every row, at its method and number of rows per class."""
    report(builders.study(tmp_path / "films"), "--figures", tmp_path / "figures")
    results = builders.study_results()
    titles = {name: title for name, title, _ in builders.METHODS}

    def lines(name: str) -> list[dict[str, str]]:
        with (tmp_path / "figures" / f"{name}.csv").open(encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def found(name: str) -> dict[tuple[str, str], dict[str, str]]:
        return {(line["method"], line["dpc"]): line for line in lines(name)}

    tables = [
        found(name) for name in ("accuracy-films", "accuracy-films-as-training-data", "sets-films", "costs-films")
    ]
    accuracies, learners, sets, costs = tables
    for row in results["rows"]:
        place = titles[row["method"]], str(row["dpc"])
        for kind in ("raw", "calibrated"):
            shown = [float(accuracies[place][f"{kind}{end}"]) for end in ("", "_low", "_high")]
            assert shown == [row["icl"][kind][side] for side in ("mean", "low", "high")]
        assert (place in learners) == bool(row["learners"])
        if row["learners"]:
            assert float(learners[place]["learner:small"]) == row["learners"]["small"]["mean"]
        if "gradient_cosine" in row:
            assert float(sets[place]["gradient_cosine"]) == 0.8 and float(sets[place]["near_copies"]) == 0.02
            assert accuracies[place]["num_training_seeds"] == "3"
        for key in ("generate_seconds", "peak_memory_mb", "flops"):
            assert costs[place][key] == ("" if row["cost"][key] is None else str(row["cost"][key]))
    power = [(line["dpc"], line["points"], line["num_sets"]) for line in lines("power-films")]
    expected = [(str(row["dpc"]), str(row["points"]), str(row["num_sets"])) for row in results["power"]["raw"]]
    assert [tuple(str(int(float(n))) for n in line) for line in power] == expected * 2
    ranks = {line["method"]: float(line["raw"]) for line in lines("ranks-films")}
    assert ranks == {titles[row["method"]]: row["mean_rank"] for row in results["ranks"]["raw"]}


def test_the_page_says_which_learner_the_distillation_has_seen(report, tmp_path):
    path = builders.study(tmp_path / "films")
    results = builders.study_results()
    for row in results["rows"]:
        row["learners"] |= {"tiny": builders.interval(0.5)} if row["learners"] else {}
    builders.write_json(path / "results.json", results)
    text = Elements(report(path)).text
    assert "small is the learner of the distillation, which has not seen the others." in text
    assert "Chance, with labels of equal size: 50.0 %." in text
    results["rows"] = [row for row in results["rows"] if row["method"] != "ddg"]
    builders.write_json(path / "results.json", results)
    assert "is the learner of the distillation" not in Elements(report(path)).text, "nothing is distilled"


def test_a_study_in_which_only_sets_were_measured(report, tmp_path):
    path = builders.study(tmp_path / "films")
    results = builders.study_results()
    for row in results["rows"]:
        row |= {"icl": {}, "icl_spread": {}, "learners": {}}
    builders.write_json(path / "results.json", results | {"comparisons": [], "ranks": {}, "power": {}})
    page = report(path)
    assert "Gradient cosine" in page and "as training data" not in page


def test_every_figure_has_a_name_a_description_and_its_numbers(report, tmp_path):
    page = report(builders.study(tmp_path / "films"))
    figures = re.findall(r"<figure.*?</figure>", page, flags=re.DOTALL)
    assert len(figures) >= 12
    for figure in figures:
        (labelled,) = re.findall(r'role="img" aria-labelledby="(\S+) (\S+)"', figure)
        title, description = (re.search(rf'id="{name}">([^<]+)<', figure)[1] for name in labelled)
        assert title and len(description) > 20
        assert "<details>" in figure and 'download="' in figure and "<table" in figure
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    used = re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', page)
    assert used and set(used) <= set(ids)


def test_methods_whose_titles_are_alike_have_their_own_figures(report, tmp_path):
    methods = [*builders.METHODS, ("k_centers_2", "K centers", "real")]
    page = report(builders.study(tmp_path / "films", methods=methods), "--figures", tmp_path / "paper")
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    matrices = [path.name for path in (tmp_path / "paper").glob("confusion-*.png")]
    assert len(matrices) == len(methods), matrices


def test_every_row_of_a_table_has_a_header(report, tmp_path):
    page = report(builders.study(tmp_path / "films"))
    tables = re.findall(r'<table class="data">.*?</table>', page, flags=re.DOTALL)
    assert len(tables) > 20
    for table in tables:
        rows = re.findall(r"<tr.*?</tr>", table.split("<tbody>")[1], flags=re.DOTALL)
        assert rows and all(row.count('<th scope="row">') == 1 for row in rows), table


def test_figures_have_the_colours_of_the_page(report, tmp_path):
    page = report(builders.study(tmp_path / "films"))
    for svg in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL):
        colors = set(re.findall(r"(?:fill|stroke): ?(#\w+)", svg))
        assert colors == set(), colors
        assert "<style" not in svg and "<script" not in svg and "<metadata" not in svg


def test_nothing_is_loaded(report, tmp_path):
    page = Elements(report(builders.study(tmp_path / "films")))
    (policy,) = [a["content"] for a in page.of("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none';") and "script-src 'sha256-" in policy and "http" not in policy
    for tag, attributes in page.elements:
        assert "src" not in attributes, tag
        link = attributes.get("href") or attributes.get("xlink:href")
        assert link is None or link.startswith(("#", "data:")), link


def test_hostile_texts_stay_text(report, tmp_path):
    rows = [(text, i % 2, 0) for i, text in enumerate(builders.HOSTILE)]
    harmless = Elements(report(builders.study(tmp_path / "plain", [("a text", i % 2, 0) for i in range(len(rows))])))
    methods = [*builders.METHODS[:-1], ("ddg", builders.HOSTILE[1], "generated")]
    source = builders.study(tmp_path / "films", rows, methods)
    plan = json.loads((source / "study.json").read_text())
    plan["name"] = builders.HOSTILE[0]
    plan["methods"][1]["title"] = builders.HOSTILE[2] + " $x$ $y$"
    plan["cells"][0]["command"] += [builders.HOSTILE[1]]
    plan["cells"][-2]["error"] = builders.HOSTILE[0]
    builders.write_json(source / "study.json", plan)
    content = json.loads((source / "results.json").read_text())
    content["task"] = builders.HOSTILE[4]
    content["model"] = builders.HOSTILE[2]
    builders.write_json(source / "results.json", content)
    page = report(source)
    found = Elements(page)
    for tag in ("script", "img", "a", "b"):
        extra = len(found.of(tag)) - len(harmless.of(tag))
        assert extra == 0, tag
    assert not any(name.startswith("on") for _, attributes in found.elements for name in attributes)
    (data,) = re.findall(r'<script type="application/json" id="samples-data">(.*?)</script>', page, flags=re.DOTALL)
    assert not set("<>&\u2028") & set(data)
    content = json.loads(data)
    assert {row[content["columns"].index("text")] for row in content["rows"]} == set(builders.HOSTILE)


def test_no_path_of_the_machine_and_no_secret(report, tmp_path):
    builders.learner_run(tmp_path / "runs" / "learner", "/home/somebody/runs/made", distilled=True)
    for source in (builders.study(tmp_path / "films"), tmp_path / "runs"):
        page = report(source)
        assert "/home/" not in page and str(tmp_path) not in page and "sk-abcdefgh" not in page
        assert "/models/of/mine" not in page
    assert "lm-small" in report(tmp_path / "films")


@pytest.mark.parametrize(
    ("build", "sections"),
    [
        (lambda p: builders.training_run(p, "pretrain"), ["training", "costs", "runs"]),
        (lambda p: builders.sets(p, builders.texts(4)), ["summary", "samples", "checks", "runs"]),
        (lambda p: builders.sets(p, builders.texts(4), check=False), ["summary", "samples", "runs"]),
        (builders.icl_run, ["accuracy", "sets", "costs", "confusion", "runs"]),
        (builders.learner_run, ["accuracy", "confusion", "runs"]),
    ],
)
def test_single_runs_have_the_sections_that_there_are_data_for(report, tmp_path, build, sections):
    page = Elements(report(build(tmp_path / "run")))
    ids = [attributes["id"] for attributes in page.of("section")]
    assert ids == [*sections, "absent"]
    assert "ddg-hf " in page.text.split("Not in this report")[-1]


def test_a_study_before_its_first_result(report, tmp_path):
    builders.write_json(tmp_path / "films" / "study.json", builders.study_plan())
    page = Elements(report(tmp_path / "films"))
    assert "The study is not finished" in page.text and "ddg-hf evaluate-icl" in page.text


def test_figures_and_tables_for_papers(report, tmp_path):
    folder = tmp_path / "paper"
    report(builders.study(tmp_path / "films"), "--figures", folder)
    stems = {path.stem for path in folder.glob("*.png")}
    assert "gradient-cosine" in stems and "accuracy-over-dpc-films-calibrated" in stems
    assert stems == {path.stem for path in folder.glob("*.svg")} and stems <= {
        path.stem for path in folder.glob("*.csv")
    }
    with (folder / "gradient-cosine.csv").open(encoding="utf-8") as file:
        last = list(csv.DictReader(file))[-1]
    assert (last["eval_real_gradient_cosine"], last["eval_exchanged_gradient_cosine"]) == ("0.97", "0.6")
    for path in folder.glob("*.svg"):
        root = xml.etree.ElementTree.parse(path).getroot()
        # Letters are outlines: the figure is the same wherever it is opened.
        assert not list(root.iter("{http://www.w3.org/2000/svg}text")) and list(
            root.iter("{http://www.w3.org/2000/svg}path")
        )
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in folder.glob("*.png"))
    for name in (
        "accuracy-films",
        "differences-films",
        "costs-films",
        "ranks-films",
        "power-films",
        "transfer-films",
        "matching-films",
        "samples",
        "checks",
    ):
        for suffix in ("csv", "md", "tex"):
            assert (folder / f"{name}.{suffix}").stat().st_size > 40, name
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_two_splits_have_headings_and_files_of_their_own(report, tmp_path):
    for split in ("validation", "test"):
        builders.icl_run(tmp_path / "runs" / split, split=split)
    folder = tmp_path / "paper"
    page = Elements(report(tmp_path / "runs", "--figures", folder))
    assert "Accuracy on films (test)" in page.text and "Accuracy on films (validation)" in page.text
    for split in ("validation", "test"):
        for name in (
            f"accuracy-films-{split}.csv",
            f"accuracy-of-methods-films-{split}.png",
            f"sets-films-{split}.csv",
        ):
            assert (folder / name).is_file(), name
        assert list(folder.glob(f"confusion-films-{split}-*.png"))


def test_json(tmp_path, capsys):
    run = builders.training_run(tmp_path / "run")
    page, folder = tmp_path / "report.html", tmp_path / "paper"
    assert cli(["report", str(run), "-o", str(page), "--figures", str(folder), "--json"]) == 0
    expected = {"command": "report", "output": str(page), "figures": str(folder)}
    assert json.loads(capsys.readouterr().out) == expected


def test_mistakes(fails, tmp_path, monkeypatch):
    run = builders.training_run(tmp_path / "run")
    page = tmp_path / "report.html"
    assert "no directory" in fails(tmp_path / "nowhere", "-o", page)
    assert "is a directory" in fails(run, "-o", tmp_path)
    assert ".html" in fails(run, "-o", tmp_path / "report.pdf")
    assert "not both" in fails(run, "-o", page, "--train", "x.csv", "--task", "sst2")
    sets = builders.sets(tmp_path / "sets", builders.texts(4), check=False)
    assert "--train: " in fails(sets, "-o", page, "--train", tmp_path / "nowhere.csv") and not page.exists()
    assert "Did you mean '--figures'" in fails(run, "--figure", "x")
    page.write_text("mine")
    assert "--overwrite" in fails(run, "-o", page)
    assert page.read_text() == "mine"
    assert "is a file" in fails(run, "-o", tmp_path / "new.html", "--figures", page)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    assert "not empty" in fails(run, "-o", tmp_path / "new.html", "--figures", tmp_path / "full")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "pip install 'ddg_hf[report]'" in fails(run, "-o", tmp_path / "new.html")
    assert not (tmp_path / "new.html").exists()


def test_a_report_that_fails_leaves_nothing(fails, tmp_path):
    run = builders.training_run(tmp_path / "run")
    (run / "trainer_state.json").write_text("{")
    assert "trainer_state.json" in fails(run, "-o", tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_the_demo_goes_on_without_matplotlib(tmp_path, capsys, monkeypatch):
    from recipes.demo import _write_report

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    _write_report(builders.training_run(tmp_path / "run"))
    assert capsys.readouterr().out == "no report: figures need matplotlib: pip install 'ddg_hf[report]'\n"
    assert not (tmp_path / "run" / "report.html").exists()
