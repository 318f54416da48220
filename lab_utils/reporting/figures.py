"""Every figure of the lab, with caption, label and alternative text.

Figures of one topic share a module. A function takes data, draws them, and returns a `ReportFigure`.
"""

from lab_utils.reporting.audit_figures import *  # noqa: F403
from lab_utils.reporting.calibration_figures import *  # noqa: F403
from lab_utils.reporting.change_figures import *  # noqa: F403
from lab_utils.reporting.data_figures import *  # noqa: F403
from lab_utils.reporting.evaluation_figures import *  # noqa: F403
from lab_utils.reporting.external_figures import *  # noqa: F403
from lab_utils.reporting.published_figures import *  # noqa: F403
from lab_utils.reporting.summary_figures import *  # noqa: F403
from lab_utils.reporting.training_figures import *  # noqa: F403
