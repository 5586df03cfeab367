import math

import pytest

from tag2mask.report import charts


def points(line: charts.Line) -> list[tuple[float, float]]:
    pairs = [pair.split(",") for pair in line.points.split()]
    return [(float(x), float(y)) for x, y in pairs]


def value(chart: charts.Chart, y: float) -> float:
    """What a height in the drawing means, read off the lowest and highest tick."""
    low, high = chart.rows[0], chart.rows[-1]
    share = (y - low.position) / (high.position - low.position)
    return float(low.text) + share * (float(high.text) - float(low.text))


def test_heights_read_off_the_axis_are_the_values() -> None:
    score = {
        "miou": 0.5,
        "level": 0.3,
        "level_source": "blind",
        "oracle": {"miou": 0.61, "level": 0.4},
        "curve": {"levels": [0.0, 0.3, 0.4, 1.0], "miou": [0.17, 0.5, 0.61, 0.02]},
    }
    chart = charts.threshold_chart("maps", score)
    assert chart is not None
    heights = [value(chart, y) for _, y in points(chart.lines[0])]
    assert heights == pytest.approx([17, 50, 61, 2], abs=0.1)
    blind, oracle = chart.marks
    assert (blind.name, oracle.name) == ("blind 0.30", "oracle (uses truth) 0.40")
    assert value(chart, blind.y) == pytest.approx(50, abs=0.1)
    assert (oracle.x, oracle.y) == points(chart.lines[0])[2]
    assert "61.0" in chart.description


def test_a_long_log_is_averaged_and_keeps_its_mean() -> None:
    log = [{"step": step, "total": 1.0 + step % 2, "terms": {"only": 1.0}} for step in range(1600)]
    chart = charts.loss_chart("classifier", log)
    assert chart is not None
    (line,) = chart.lines  # a single term is the objective
    drawn = points(line)
    assert len(drawn) == charts.POINTS
    assert [value(chart, y) for _, y in drawn] == pytest.approx([1.5] * len(drawn), abs=0.01)


def test_terms_get_lines_and_values_that_are_not_finite_are_left_out() -> None:
    log = [
        {"step": 0, "total": 3.0, "terms": {"a": 1.0, "b": 2.0}},
        {"step": 1, "total": math.nan, "terms": {"a": math.inf, "b": 1.0}},
        {"step": 2, "total": -1.0, "terms": {"a": -2.0, "b": 1.0}},
    ]
    chart = charts.loss_chart("both", log)
    assert chart is not None
    assert [(line.name, len(points(line))) for line in chart.lines] == [
        ("total", 2),
        ("a", 2),
        ("b", 3),
    ]
    assert value(chart, points(chart.lines[1])[1][1]) == pytest.approx(-2, abs=0.05)


def test_everything_drawn_stays_inside_the_frame() -> None:
    for scale in (1e-9, 0.7, 1.0, 3e6):
        log = [{"step": step, "total": scale * (step - 3), "terms": {}} for step in range(10)]
        chart = charts.loss_chart("any", log)
        assert chart is not None
        assert 3 <= len(chart.rows) <= 10
        for x, y in points(chart.lines[0]):
            assert charts.LEFT <= x <= charts.WIDTH - charts.RIGHT
            assert charts.TOP <= y <= charts.HEIGHT - charts.BOTTOM


def test_nothing_to_draw_is_no_chart() -> None:
    assert charts.loss_chart("empty", []) is None
    assert charts.loss_chart("one", [{"step": 0, "total": 1.0, "terms": {}}]) is None
    assert charts.threshold_chart("none", {"curve": None}) is None
