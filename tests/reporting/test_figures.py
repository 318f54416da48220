import inspect

from lab_utils.reporting import figures
from lab_utils.reporting.exhibits import ReportFigure


def test_every_figure_of_every_topic_is_offered() -> None:
    functions = {name: value for name, value in vars(figures).items() if inspect.isfunction(value)}
    topics = {"training_figures", "evaluation_figures", "data_figures", "audit_figures"}
    assert {function.__module__.rpartition(".")[2] for function in functions.values()} == topics
    assert all(inspect.signature(function).return_annotation is ReportFigure for function in functions.values())
